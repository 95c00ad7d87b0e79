/// Of all programs of one build.
public enum ProgramVersion {
    public static let number = "0.1.0"
}
