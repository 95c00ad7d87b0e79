internal import Virtio

extension ActivationContext {
    /// Chains served for one notification, in queue sizes. Drivers of these devices wait for their requests, so one that
    /// keeps offering beyond this only wants to keep the machine's thread busy.
    private static let patience = 16

    /// Answers what waits in a queue of independent requests, then interrupts as needed.
    ///
    /// `answer` returns how many bytes it wrote. A malformed chain breaks the device until it is reset.
    func serve(queue index: Int, answer: (DescriptorChain) -> Int) {
        guard queues.indices.contains(index), let queue = queues[index] else { return }
        var left = ActivationContext.patience * Int(queue.size)
        do throws(VirtqueueError) {
            while let chain = try queue.pop() {
                left -= 1
                if left < 0 { return needsReset() }
                queue.push(chain.head, written: answer(chain))
            }
        } catch {
            return needsReset()
        }
        if queue.needsInterrupt() { interrupt.raiseUsedBuffers() }
    }
}
