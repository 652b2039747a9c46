# PROGRAM --help | awk -v date="Month D, YEAR" -f manual_program.awk: the manual page of a program, mdoc, on stdout. The help begins with
# "name: what it is for.", then has its usage; a line that begins at the left and ends with a colon begins a section.

function escape(text)
{
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    if (text ~ /^[.']/) text = "\\&" text
    return text
}
function flush()
{
    if (shown) print ".Ed"
    shown = blank = 0
}
!named && !/^ *$/ { # the first sentence, which may have several lines
    head = head == "" ? $0 : head " " $0
    next
}
!named {
    named = 1
    name = head
    sub(/:.*/, "", name)
    sub(/^[^ ]* /, "", head)
    sub(/\.$/, "", head)
    print ".\\\" Made by scripts/package/manual_program.awk from " name " \\-\\-help."
    print ".Dd " date
    print ".Dt " toupper(name) " 1"
    print ".Os"
    print ".Sh NAME"
    print ".Nm " name
    print ".Nd " escape(head)
    next
}
/^[Uu]sage: / {
    print ".Sh SYNOPSIS"
    print ".Bd -literal"
    shown = 1
    sub(/^[Uu]sage: /, "")
    print escape($0)
    usage = 1
    next
}
usage && /^ +/ { # more ways to call it
    sub(/^ +/, "")
    print escape($0)
    next
}
/^ *$/ {
    if (usage) {
        flush()
        print ".Sh DESCRIPTION"
        usage = 0
    }
    blank = 1
    next
}
/^[A-Z][^.]*:$/ {
    flush()
    sub(/:$/, "")
    print ".Ss " escape($0)
    next
}
{
    if (!shown) print ".Bd -literal"
    else if (blank) print ""
    shown = 1
    blank = 0
    print escape($0)
}
END {
    flush()
    print ".Sh SEE ALSO"
    print ".Xr onebit 3"
}
