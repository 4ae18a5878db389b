/// The names of the classes, from `labels.txt`: one a line, backslashes and line ends escaped.
public enum Labels {
    public static func parse(_ text: String) -> [String] {
        text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(unescaped)
    }

    private static func unescaped(_ line: Substring.UnicodeScalarView) -> String {
        var found = String.UnicodeScalarView()
        var escaped = false
        for scalar in line {
            if escaped {
                found.append(scalar == "n" ? "\n" : scalar == "r" ? "\r" : scalar)
                escaped = false
            } else if scalar == "\\" {
                escaped = true
            } else {
                found.append(scalar)
            }
        }
        return String(found)
    }
}
