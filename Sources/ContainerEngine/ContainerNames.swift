internal import LinuxSystem

/// Names and identifiers that nobody chose.
enum ContainerNames {
    /// 64 hexadecimal digits.
    static func newID() throws(EngineError) -> String {
        do throws(SystemError) {
            return try randomBytes(32).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        } catch { throw EngineError("cannot make an id", error) }
    }

    /// Two words, and a number when there are many containers already.
    static func newName(taken: (String) -> Bool) throws(EngineError) -> String {
        for attempt in 0..<1000 {
            let name = (qualities.randomElement() ?? "plain") + "_" + (things.randomElement() ?? "box") + (attempt < 10 ? "" : "\(Int.random(in: 0..<1_000_000))")
            if !taken(name) { return name }
        }
        throw EngineError("no name is free: use --name")
    }

    static let qualities = [
        "able", "amber", "bold", "brave", "breezy", "bright", "brisk", "calm", "candid", "cheerful", "clever", "crisp", "daring", "deft", "eager", "fair", "fleet", "fond", "frank",
        "gentle", "glad", "golden", "happy", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "mellow", "merry", "modest", "nimble", "noble", "patient",
        "placid", "plucky", "polite", "proud", "quick", "quiet", "ready", "serene", "sharp", "silent", "silver", "sleek", "smart", "snug", "solid", "spry", "steady", "sturdy", "sunny",
        "swift", "tidy", "trusty", "upbeat", "vivid", "warm", "wise", "witty",
    ]
    static let things = [
        "aileron", "albatross", "altimeter", "anemometer", "balloon", "beacon", "biplane", "blimp", "buoy", "canopy", "cirrus", "cockpit", "compass", "condor", "contrail", "cowling",
        "cumulus", "cyclone", "dirigible", "eagle", "elevator", "falcon", "feather", "fuselage", "glider", "gondola", "gyroscope", "hangar", "harrier", "heron", "horizon", "jetstream",
        "kestrel", "kite", "lark", "mast", "meridian", "monsoon", "osprey", "parachute", "petrel", "pilot", "propeller", "radar", "rotor", "rudder", "runway", "sail", "sextant",
        "skylark", "slipstream", "spinner", "stork", "swallow", "swift", "tailwind", "thermal", "thrush", "turbine", "updraft", "vane", "wing", "zenith", "zephyr",
    ]
}
