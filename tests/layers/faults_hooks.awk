# Writes faults_hooks.h, the hooks of faults.c: reads sources of ours first (which say what is called), then the registry vk.xml
# (which says what each command takes and which errors it can return).
#
#   awk -f faults_hooks.awk SOURCE... vk.xml
#
# FAULT_RESULTS(X)    X(name): every command that we call and that returns VkResult
# FAULT_GLOBALS(X)    those that need no instance: a layer does not see them
# FAULT_INSTANCE(X), FAULT_DEVICE(X)    all that are hooked, by whose table they are in
# errors_NAME, hook_NAME    what the command can return, and its hook; those in BY_HAND have theirs in faults.c
BEGIN {
    split("vkCreateInstance vkDestroyInstance vkCreateDevice vkDestroyDevice vkQueueSubmit vkWaitForFences vkGetFenceStatus vkResetFences", list, " ")
    for (i in list) by_hand[list[i]] = 1
    skip["vkFreeCommandBuffers"] = skip["vkFreeDescriptorSets"] = 1 # their pools are what is counted
}

FILENAME !~ /vk\.xml$/ { # what we call
    line = $0
    while (match(line, /vk[A-Z][A-Za-z0-9]+/)) {
        used[substr(line, RSTART, RLENGTH)] = 1
        line = substr(line, RSTART + RLENGTH)
    }
    next
}

function attribute(text, name,    at) {
    at = index(text, " " name "=\"")
    if (!at) return ""
    text = substr(text, at + length(name) + 3)
    return substr(text, 1, index(text, "\"") - 1)
}
function between(text, tag,    from, to) {
    from = index(text, "<" tag ">") + length(tag) + 2
    to = index(text, "</" tag ">")
    return to ? substr(text, from, to - from) : ""
}
function plain(text) {
    gsub(/<[^>]*>/, "", text)
    gsub(/^[ \t]+|[ \t]+$/, "", text)
    return text
}

/<command[ >]/ && !/ alias=/ { name = ""; params = 0; implicit = 0; codes = attribute($0, "errorcodes"); good = attribute($0, "successcodes") }
/<implicitexternsyncparams>/ { implicit = 1 }
/<proto>/ && !name { result = between($0, "type"); name = between($0, "name") }
/<param/ && name && !implicit && attribute($0, "api") != "vulkansc" {
    types[params] = between($0, "type"); names[params] = between($0, "name"); texts[params++] = plain($0)
}
/<\/command>/ && (name in used) && !(name in done) && !(name in skip) { command(); name = "" }

function command(    level, i, n, error, arguments, declared, key) {
    if (result != "VkResult" && name !~ /^vkDestroy/ && name != "vkFreeMemory") return
    done[name] = 1
    level = types[0] == "VkInstance" || types[0] == "VkPhysicalDevice" ? "instance" : types[0] ~ /^Vk(Device|Queue|CommandBuffer)$/ ? "device" : "global"
    if (name == "vkCreateInstance") level = "global"
    tables[level] = tables[level] " X(" name ")"
    if (result == "VkResult") {
        if (name != "vkCreateInstance" && level == "global") globals = globals " X(" name ")"
        results = results " X(" name ")"
        # The specification lets any command return VK_ERROR_UNKNOWN. A wait may end without an answer; a list may have grown.
        codes = codes (codes ? "," : "") "VK_ERROR_UNKNOWN"
        if (good ~ /VK_TIMEOUT/) codes = codes ",VK_TIMEOUT"
        if (good ~ /VK_INCOMPLETE/) codes = codes ",VK_INCOMPLETE"
        gsub(/,/, ", ", codes)
        out = out "static const VkResult errors_" name "[] = { " codes " };\n"
    }
    if (name in by_hand) return
    for (i = 0; i < params; i++) {
        arguments = arguments (i ? ", " : "") names[i]
        declared = declared (i ? ", " : "") texts[i]
    }
    key = level == "global" ? "faults_global." : level == "instance" ? "instance_of(" names[0] ")->" : "device_of(" names[0] ")->"
    out = out "static VKAPI_ATTR " result " VKAPI_CALL hook_" name "(" declared ")\n{\n"
    if (result != "VkResult") {
        out = out "    if (gone(\"" types[1] "\", HANDLE(" names[1] "))) " key name "(" arguments ");\n}\n"
        return
    }
    n = params - 1 # the last parameter is what is made or filled
    out = out "    VkResult result = step(FAULT_" name ");\n"
    if (good ~ /VK_INCOMPLETE/)
        out = out "    if (result == VK_INCOMPLETE) {\n        bool room = " names[n] " != NULL && *" names[n - 1] " > 0;\n        result = " key name "(" arguments ");\n" \
            "        if (!room || *" names[n - 1] " == 0) return does_not_apply(), result;\n        (*" names[n - 1] ")--;\n        return VK_INCOMPLETE;\n    }\n"
    if (name ~ /^vkCreate/ && name != "vkCreateComputePipelines")
        out = out "    if (result != VK_SUCCESS) return poison(" names[n] ", sizeof *" names[n] "), result;\n"
    else if (name == "vkCreateComputePipelines")
        out = out "    if (result != VK_SUCCESS) return memset(pPipelines, 0, createInfoCount * sizeof *pPipelines), result;\n"
    else if (name == "vkAllocateMemory")
        out = out "    if (result != VK_SUCCESS) return poison(pMemory, sizeof *pMemory), result;\n"
    else
        out = out "    if (result != VK_SUCCESS) return result;\n"
    out = out "    result = " key name "(" arguments ");\n"
    if (name == "vkCreateComputePipelines")
        out = out "    for (uint32_t i = 0; i < createInfoCount; i++)\n        if (pPipelines[i]) made(\"VkPipeline\", HANDLE(pPipelines[i]));\n"
    else if (name ~ /^vkCreate/ || name == "vkAllocateMemory")
        out = out "    if (result == VK_SUCCESS) made(\"" types[n] "\", HANDLE(*" names[n] "));\n"
    out = out "    return result;\n}\n"
}

END {
    print "#define FAULT_RESULTS(X)" results
    print "#define FAULT_GLOBALS(X)" globals
    print "#define FAULT_INSTANCE(X)" tables["instance"]
    print "#define FAULT_DEVICE(X)" tables["device"]
    print "#ifdef FAULT_HOOKS"
    printf "%s", out
    print "#endif"
}
