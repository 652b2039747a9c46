// last_group: which workgroup of several is the last to finish, so that it alone goes on with what all of them have written. Nobody
// waits for anybody: a workgroup counts itself and ends, or finds that all others have counted themselves, and goes on. So nothing is
// asked of the order in which a device runs its workgroups.
//
// What the others wrote must be declared `coherent`. Then it is seen, in the words of Vulkan's memory model:
// - All stores of a workgroup happen before its atomicAdd: the first control barrier orders them before lane 0 goes on (execution scope
//   workgroup; memory of buffers at the device's scope, release and acquire), and the release in front of the atomicAdd is cumulative:
//   it takes along what lane 0 has acquired from the other lanes.
// - The atomicAdds of all workgroups are one sequence of read-modify-writes of one word. The last in it reads a value at the end of the
//   release sequence that every other one heads, so each of their releases synchronizes with the acquire behind it.
// - The second control barrier hands that on from lane 0 to the other lanes of the last workgroup.
// `coherent` makes each store available to the device and each load see what is: without it a cache of the core that runs the last
// workgroup might still hold older words.
//
// The counters are zero when a dispatch begins and when it ends: the last workgroup puts its own back, when no other will touch it
// any more. Two dispatches with one counter need a barrier between them, as those of obi_cmd_counters have.
#ifndef OB_LAST_GROUP_GLSL
#define OB_LAST_GROUP_GLSL

#extension GL_KHR_memory_scope_semantics : require

layout(set = 1, binding = 0) coherent buffer Finished { uint finished[]; };
shared uint ob_last;

// In every lane of the workgroup that comes last of the `count` that call it with this counter: true. Every lane must make the call.
bool ob_last_group(uint counter, uint count)
{
    controlBarrier(gl_ScopeWorkgroup, gl_ScopeDevice, gl_StorageSemanticsBuffer | gl_StorageSemanticsShared, gl_SemanticsAcquireRelease);
    if (gl_LocalInvocationIndex == 0u) {
        memoryBarrier(gl_ScopeDevice, gl_StorageSemanticsBuffer, gl_SemanticsAcquireRelease);
        uint before = atomicAdd(finished[counter], 1u);
        memoryBarrier(gl_ScopeDevice, gl_StorageSemanticsBuffer, gl_SemanticsAcquireRelease);
        ob_last = before + 1u == count ? 1u : 0u;
        if (before + 1u == count) atomicExchange(finished[counter], 0u);
    }
    controlBarrier(gl_ScopeWorkgroup, gl_ScopeDevice, gl_StorageSemanticsBuffer | gl_StorageSemanticsShared, gl_SemanticsAcquireRelease);
    return ob_last != 0u;
}

#endif
