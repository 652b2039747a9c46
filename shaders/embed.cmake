# cmake -DINPUT=x.spv -DOUTPUT=x.h -DNAME=x -P embed.cmake: SPIR-V bytes (little-endian words) as a C array.
file(READ ${INPUT} hex HEX)
string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1," words "${hex}")
string(REGEX REPLACE "((0x........,)(0x........,)(0x........,)(0x........,)(0x........,)(0x........,)(0x........,)(0x........,))" "\\1\n" words "${words}")
file(WRITE ${OUTPUT} "static const uint32_t spirv_${NAME}[] = {\n${words}\n};\n")
