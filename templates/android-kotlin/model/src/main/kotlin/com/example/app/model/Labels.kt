package com.example.app.model

/** The names of the classes, from `labels.txt`: one a line, backslashes and line ends escaped. */
object Labels {
    fun parse(text: String): List<String> = text.split('\n').dropLast(1).map(::unescaped)

    private fun unescaped(line: String): String {
        val found = StringBuilder()
        var n = 0
        while (n < line.length) {
            val char = line[n++]
            if (char != '\\' || n == line.length) {
                found.append(char)
                continue
            }
            when (val kind = line[n++]) {
                'n' -> found.append('\n')
                'r' -> found.append('\r')
                else -> found.append(kind)
            }
        }
        return found.toString()
    }
}
