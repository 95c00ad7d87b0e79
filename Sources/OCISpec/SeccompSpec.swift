public import JSONText

/// A system call filter (config-linux.md, "Seccomp").
public struct SeccompSpec: SpecObject {
    public enum Action: String, SpecWord {
        case kill = "SCMP_ACT_KILL", killProcess = "SCMP_ACT_KILL_PROCESS", killThread = "SCMP_ACT_KILL_THREAD", trap = "SCMP_ACT_TRAP"
        case errno = "SCMP_ACT_ERRNO", trace = "SCMP_ACT_TRACE", allow = "SCMP_ACT_ALLOW", log = "SCMP_ACT_LOG", notify = "SCMP_ACT_NOTIFY"
    }
    public enum Architecture: String, SpecWord {
        case x86 = "SCMP_ARCH_X86", x86_64 = "SCMP_ARCH_X86_64", x32 = "SCMP_ARCH_X32", arm = "SCMP_ARCH_ARM", aarch64 = "SCMP_ARCH_AARCH64"
        case mips = "SCMP_ARCH_MIPS", mips64 = "SCMP_ARCH_MIPS64", mips64n32 = "SCMP_ARCH_MIPS64N32", mipsel = "SCMP_ARCH_MIPSEL"
        case mipsel64 = "SCMP_ARCH_MIPSEL64", mipsel64n32 = "SCMP_ARCH_MIPSEL64N32", ppc = "SCMP_ARCH_PPC", ppc64 = "SCMP_ARCH_PPC64"
        case ppc64le = "SCMP_ARCH_PPC64LE", s390 = "SCMP_ARCH_S390", s390x = "SCMP_ARCH_S390X", parisc = "SCMP_ARCH_PARISC"
        case parisc64 = "SCMP_ARCH_PARISC64", riscv64 = "SCMP_ARCH_RISCV64", loongarch64 = "SCMP_ARCH_LOONGARCH64", m68k = "SCMP_ARCH_M68K"
        case sh = "SCMP_ARCH_SH", sheb = "SCMP_ARCH_SHEB"
    }
    public enum Flag: String, SpecWord {
        case threadSync = "SECCOMP_FILTER_FLAG_TSYNC", log = "SECCOMP_FILTER_FLAG_LOG", specAllow = "SECCOMP_FILTER_FLAG_SPEC_ALLOW"
        case waitKillable = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
    }
    public enum Operator: String, SpecWord {
        case notEqual = "SCMP_CMP_NE", less = "SCMP_CMP_LT", lessOrEqual = "SCMP_CMP_LE", equal = "SCMP_CMP_EQ"
        case greaterOrEqual = "SCMP_CMP_GE", greater = "SCMP_CMP_GT", maskedEqual = "SCMP_CMP_MASKED_EQ"
    }

    public var defaultAction = Action.allow
    public var defaultErrnoRet: UInt32?
    public var architectures: [Architecture] = []
    public var flags: [Flag] = []
    public var listenerPath: String?
    public var listenerMetadata: String?
    public var syscalls: [SystemCallRule] = []
    public init() {}
    public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
        try mapper.required("defaultAction", &defaultAction)
        try mapper.optional("defaultErrnoRet", &defaultErrnoRet)
        try mapper.list("architectures", &architectures)
        try mapper.list("flags", &flags)
        try mapper.optional("listenerPath", &listenerPath)
        try mapper.optional("listenerMetadata", &listenerMetadata)
        try mapper.list("syscalls", &syscalls)
    }

    public struct SystemCallRule: SpecObject {
        public var names: [String] = []
        public var action = Action.allow
        public var errnoRet: UInt32?
        public var args: [Argument] = []
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.list("names", &names)
            try mapper.required("action", &action)
            try mapper.optional("errnoRet", &errnoRet)
            try mapper.list("args", &args)
        }
    }

    /// Whether system calls are passed on to an agent.
    public var notifies: Bool { defaultAction == .notify || syscalls.contains { $0.action == .notify } }

    /// A condition on one argument.
    public struct Argument: SpecObject {
        /// 0 to 5.
        public var index: UInt32 = 0
        public var value: UInt64 = 0
        public var valueTwo: UInt64 = 0
        public var op = Operator.equal
        public init() {}
        public mutating func map(_ mapper: inout SpecMapper) throws(JSONShapeError) {
            try mapper.required("index", &index)
            try mapper.required("value", &value)
            try mapper.defaulted("valueTwo", &valueTwo, 0)
            try mapper.required("op", &op)
        }
    }
}
