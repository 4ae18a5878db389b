"""The zoo: architectures of many libraries, each built in every format, float and int8."""
