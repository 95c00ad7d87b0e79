/// Values that are dear to get: each is got once, however many ask for it at once, and kept while it is good.
actor KeptValues<Key: Hashable & Sendable, Value: Sendable> {
    private var values: [Key: Value] = [:]
    private var work: [Key: Task<Value, any Error>] = [:]
    private let isGood: @Sendable (Value) -> Bool

    init(while isGood: @escaping @Sendable (Value) -> Bool) { self.isGood = isGood }

    /// - Parameter get: is cancelled with the task that asked first; others that wait for it then do it themselves.
    func value(for key: Key, _ get: @escaping @Sendable () async throws -> Value) async throws -> Value {
        while true {
            if let value = values[key], isGood(value) { return value }
            if let task = work[key] {
                do { return try await task.value } catch is CancellationError where !Task.isCancelled {
                    if work[key] == task { work[key] = nil }
                    continue
                }
            }
            let task = Task(operation: get)
            work[key] = task
            defer { if work[key] == task { work[key] = nil } }
            let value = try await withTaskCancellationHandler { try await task.value } onCancel: { task.cancel() }
            values = values.filter { isGood($0.value) }
            values[key] = value
            return value
        }
    }

    /// Forgets some.
    /// - Returns: whether there were any.
    func remove(where condition: @Sendable (Key, Value) -> Bool) -> Bool {
        let before = values.count
        values = values.filter { !condition($0.key, $0.value) }
        return values.count < before
    }
}
