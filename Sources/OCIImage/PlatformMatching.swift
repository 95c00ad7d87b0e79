extension Platform {
    /// With one name for each thing: `linux/x86_64/v1` is `linux/amd64`, `linux/arm` is `linux/arm/v7`.
    public var normalized: Platform {
        var result = self
        result.os = os.lowercased() == "macos" ? "darwin" : os.lowercased()
        result.osFeatures = Set(osFeatures).sorted()
        let variant = variant?.lowercased() ?? ""
        var normal = variant
        switch architecture.lowercased() {
        case "i386": (result.architecture, normal) = ("386", "")
        case "x86_64", "x86-64", "amd64": (result.architecture, normal) = ("amd64", variant == "v1" ? "" : variant)
        case "aarch64", "arm64":
            result.architecture = "arm64"
            if ["8", "v8", "v8.0"].contains(variant) { normal = "" } else if ["9", "9.0", "v9.0"].contains(variant) { normal = "v9" }
        case "armhf": (result.architecture, normal) = ("arm", "v7")
        case "armel": (result.architecture, normal) = ("arm", "v6")
        case "arm":
            result.architecture = "arm"
            if ["", "7"].contains(variant) { normal = "v7" } else if ["5", "6", "8"].contains(variant) { normal = "v" + variant }
        case let other: result.architecture = other
        }
        result.variant = normal.isEmpty ? nil : normal
        return result
    }

    /// The platforms whose images this one runs, the best first: `linux/arm64` runs also `linux/arm/v8` to `v5`, and `linux/amd64` also `linux/386`.
    public var compatible: [Platform] {
        let platform = normalized
        func with(_ architecture: String, _ variant: String?) -> Platform {
            var result = platform
            (result.architecture, result.variant) = (architecture, variant)
            return result.normalized
        }
        // A number too large for a processor is a stranger's joke, not a reason to count down from it.
        let version = platform.variant.flatMap { $0.hasPrefix("v") ? Int($0.dropFirst()) : nil }.flatMap { (1...16).contains($0) ? $0 : nil }
        switch platform.architecture {
        case "amd64":
            let lower = version.map { $0 > 1 ? (1..<$0).reversed().map { with("amd64", "v\($0)") } : [] } ?? []
            return [platform] + lower + [with("386", nil)]
        case "arm":
            return [platform] + (version.map { $0 > 5 ? (5..<$0).reversed().map { with("arm", "v\($0)") } : [] } ?? [])
        case "arm64":
            let own = Self.arm64Variants(below: platform.variant ?? "v8").map { with("arm64", $0) }
            return own.isEmpty ? [platform] : own + (5...8).reversed().map { with("arm", "v\($0)") }
        default: return [platform]
        }
    }

    /// An Armv9.n processor is an Armv8.(n+5) one too. Empty for a variant that nobody knows.
    private static func arm64Variants(below variant: String) -> [String] {
        func descending(_ major: Int, from minor: Int) -> [String] { (0...minor).reversed().map { $0 == 0 ? "v\(major)" : "v\(major).\($0)" } }
        let parts = variant.dropFirst().split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
        guard variant.hasPrefix("v"), parts.count <= 2, let first = parts.first, let major = first else { return [] }
        guard let minor = parts.count == 2 ? parts[1] : 0 else { return [] }
        switch (major, minor) {
        case (8, 0...9): return descending(8, from: minor)
        case (9, 0...7): return descending(9, from: minor) + descending(8, from: min(minor + 5, 9))
        default: return []
        }
    }

    /// How well this platform runs an image of another: 0 is best, nil not at all. An image may ask for no feature that this platform does not have;
    /// versions of operating systems are not compared.
    public func rank(of image: Platform) -> Int? {
        let image = image.normalized
        guard Set(image.osFeatures).isSubset(of: normalized.osFeatures) else { return nil }
        return compatible.firstIndex { $0.os == image.os && $0.architecture == image.architecture && $0.variant == image.variant }
    }
}
