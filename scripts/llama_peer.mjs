// One measurement of llama.cpp through the npm package node-llama-cpp, for scripts/compare-peers.sh: time to first token, a prompt
// and generated tokens, each of the latter two once untimed and once timed; the result as one line of JSON.
//     node llama_peer.mjs PACKAGE_DIRECTORY MODEL.gguf cpu|vulkan THREADS PROMPT TOKENS VOCABULARY
import path from "node:path";
import {pathToFileURL} from "node:url";

const [packages, modelPath, backend, ...numbers] = process.argv.slice(2);
const [threads, prompt, tokens, vocabulary] = numbers.map(Number);
const entry = path.join(path.resolve(packages), "node_modules", "node-llama-cpp", "dist", "index.js");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry).href);
const vulkan = backend === "vulkan";
const seconds = () => Number(process.hrtime.bigint()) * 1e-9;
const greedy = {temperature: 0, yieldEogToken: true};

// The seconds of `count` tokens behind a first one: what the package does once per call is not held against it.
async function generate(sequence, id, count) {
    let done = -1, began = 0;
    for await (const _ of sequence.evaluate([id], greedy)) {
        if (++done === 0) began = seconds();
        if (done === count) break;
    }
    if (done !== count) throw new Error(`only ${done} of ${count} tokens were generated`);
    return seconds() - began;
}

const start = seconds();
const llama = await getLlama({
    gpu: vulkan ? "vulkan" : false, build: "never", skipDownload: true, maxThreads: threads, logLevel: LlamaLogLevel.error, vramPadding: 0
});
const opened = seconds();
const model = await llama.loadModel({modelPath, gpuLayers: vulkan ? "max" : 0, ignoreMemorySafetyChecks: true});
const loaded = seconds();
const context = await model.createContext({
    contextSize: Math.max(prompt, tokens) + 16, batchSize: Math.max(prompt, 16), threads, ignoreMemorySafetyChecks: true
});
const sequence = context.getSequence();
const id = (i) => 3 + (i * 7919 + 131) % (vocabulary - 3); // no control token among them
await generate(sequence, id(0), 0);
const first = seconds();

let promptSeconds = 0, generateSeconds = 0;
for (let round = 0; round < 2; round++) {
    await sequence.clearHistory();
    const began = seconds();
    if (prompt > 0) await sequence.evaluateWithoutGeneratingNewTokens(Array.from({length: prompt}, (_, i) => id(i)));
    promptSeconds = seconds() - began;
    await sequence.clearHistory();
    if (tokens > 0) generateSeconds = await generate(sequence, id(1), tokens);
}
console.log(JSON.stringify({
    backend: llama.gpu || "cpu", layers_on_gpu: model.gpuLayers,
    prompt_ts: prompt > 0 ? prompt / promptSeconds : null, decode_ts: tokens > 0 ? tokens / generateSeconds : null,
    first_token_s: first - start, context_s: opened - start, model_s: loaded - opened, first_s: first - loaded,
    host_peak_bytes: process.resourceUsage().maxRSS * 1024
}));
process.exit(0); // the package keeps its thread pool alive
