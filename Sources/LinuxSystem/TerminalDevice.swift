internal import CLinux
internal import Glibc

/// A terminal's settings, through whichever descriptor of it.
public enum TerminalDevice {
    /// Columns and rows (TIOCGWINSZ).
    public static func size(_ descriptor: Int32) throws(SystemError) -> (columns: UInt16, rows: UInt16) {
        var size = winsize()
        try checked(unsafe clinux_ioctl_pointer(descriptor, UInt(TIOCGWINSZ), &size), "ioctl(TIOCGWINSZ)")
        return (size.ws_col, size.ws_row)
    }

    /// Sets columns and rows; the foreground processes get SIGWINCH (TIOCSWINSZ).
    public static func setSize(_ descriptor: Int32, columns: UInt16, rows: UInt16) throws(SystemError) {
        var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        try checked(unsafe clinux_ioctl_pointer(descriptor, UInt(TIOCSWINSZ), &size), "ioctl(TIOCSWINSZ)")
    }

    /// Passes every byte unchanged: no echo, no line editing, no signals (cfmakeraw(3)).
    public static func makeRaw(_ descriptor: Int32) throws(SystemError) {
        var settings = termios()
        if unsafe tcgetattr(descriptor, &settings) < 0 { throw SystemError(Errno(rawValue: errno), "tcgetattr") }
        unsafe cfmakeraw(&settings)
        if unsafe tcsetattr(descriptor, TCSANOW, &settings) < 0 { throw SystemError(Errno(rawValue: errno), "tcsetattr") }
    }

    /// Makes it the controlling terminal of this session, whose leader the caller must be. Then changes of its size come as SIGWINCH.
    public static func makeControlling(_ descriptor: Int32) throws(SystemError) {
        try checked(clinux_ioctl_value(descriptor, UInt(TIOCSCTTY), 0), "ioctl(TIOCSCTTY)")
    }
}
