// Until the specification's types land.
public struct RuntimeSpec: Sendable { public init() {} }
public struct ProcessSpec: Sendable { public init() {} }
