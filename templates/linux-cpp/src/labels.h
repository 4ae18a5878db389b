#pragma once

#include <string>
#include <vector>

// The class names in `path`, one a line; in them, \\, \n and \r stand for a backslash and line ends.
// Throws std::runtime_error where the file cannot be read.
std::vector<std::string> read_labels(const std::string& path);

// What to show for a class, on one line, without what would upset a terminal.
std::string label_of(const std::vector<std::string>& labels, std::size_t number);

// `text` on one line: control characters become question marks.
std::string printable(const std::string& text);
