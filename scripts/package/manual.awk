# awk -v pages_of_all="onebit onebit_train" -v date="Month D, YEAR" -f manual.awk onebit.h: the manual page of a public header, mdoc, on stdout.
#
# The header's first comment is NAME and DESCRIPTION; each /* ---- x ---- */ begins a section; each declaration stands under its
# comment, as it stands in the header. Within a comment, lines that are indented are shown as they are, "- " begins an item.

function escape(text)
{
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    if (text ~ /^[.']/) text = "\\&" text
    return text
}

# Prints a block as it stands, without filling.
function literal(text, indent,    lines, n, i)
{
    n = split(text, lines, "\n")
    print ".Bd -literal" (indent ? " -offset indent" : "")
    for (i = 1; i <= n; i++) print escape(lines[i])
    print ".Ed"
}

# Prints words filled to lines of at most 78, each sentence on a new line.
function fill(text,    words, n, i, line)
{
    n = split(text, words, " ")
    line = ""
    for (i = 1; i <= n; i++) {
        if (line != "" && (length(line) + 1 + length(words[i]) > 76 || line ~ /[a-zA-Z0-9)"`][.!?][)"]?$/)) {
            print escape(line)
            line = ""
        }
        line = line == "" ? words[i] : line " " words[i]
    }
    if (line != "") print escape(line)
}

# Ends the paragraph, list or display that prose is in.
function finish()
{
    if (paragraph != "") fill(paragraph)
    paragraph = ""
    if (shown) print ".Ed"
    if (listed) print ".El"
    shown = listed = 0
}

# Prints a comment as paragraphs.
function prose(text,    lines, n, i, line, depth)
{
    n = split(text, lines, "\n")
    shown = listed = 0
    paragraph = ""
    for (i = 1; i <= n; i++) {
        line = lines[i]
        depth = match(line, /[^ ]/) - 1
        if (line ~ /^ *$/) {
            finish()
            if (i < n && lines[i + 1] !~ /^  /) print ".Pp"
        } else if (line ~ /^  ?- /) { # an item
            if (paragraph != "") fill(paragraph)
            paragraph = ""
            if (!listed) print ".Bl -bullet -compact"
            listed = 1
            print ".It"
            sub(/^ *- /, "", line)
            paragraph = line
        } else if (depth >= 2 && !listed && paragraph == "") { # as it is
            if (!shown) print ".Bd -literal -offset indent"
            shown = 1
            print escape(substr(line, 3))
        } else if (depth >= 2 && !listed && i > 1 && lines[i - 1] ~ /:$/) {
            finish()
            print ".Bd -literal -offset indent"
            shown = 1
            print escape(substr(line, 3))
        } else {
            if (shown) {
                finish()
                print ".Pp"
            }
            sub(/^ */, "", line)
            paragraph = paragraph == "" ? line : paragraph " " line
        }
    }
    finish()
}

# The text of a comment without its signs.
function bare(text)
{
    sub(/^\/\* ?/, "", text)
    sub(/ *\*\/[ \t]*$/, "", text)
    if (text ~ /\n \*/) gsub(/\n \* ?/, "\n", text)
    else gsub(/\n   /, "\n", text) # without stars
    return text
}

function begin_page(text,    at, head)
{
    file = FILENAME
    sub(/.*\//, "", file)
    name = file
    sub(/\.h$/, "", name)
    head = text
    at = index(text, "\n\n")
    if (at) head = substr(text, 1, at - 1)
    sub(/^[a-z_]*\.h: /, "", head)
    gsub(/\n/, " ", head)
    sentence = head
    rest = ""
    if (match(head, /\. /)) { # the first sentence is the name
        sentence = substr(head, 1, RSTART - 1)
        rest = substr(head, RSTART + 2)
    }
    sub(/\.$/, "", sentence)
    print ".\\\" Made by scripts/package/manual.awk from " file "."
    print ".Dd " date
    print ".Dt " toupper(name) " 3"
    print ".Os"
    print ".Sh NAME"
    print ".Nm " name
    print ".Nd " escape(sentence)
    print ".Sh SYNOPSIS"
    print ".In onebit/" file
    print ".Pp"
    print "cc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs " (name == "onebit_train" ? "onebit\\-train" : "onebit") ")"
    if (rest != "" || at) print ".Sh DESCRIPTION"
    if (rest != "") fill(rest)
    if (at) {
        if (rest != "") print ".Pp"
        prose(substr(text, at + 2))
    }
}

function section(title)
{
    if (!open) print ".Sh TYPES AND FUNCTIONS"
    if (title != "") print ".Ss " toupper(substr(title, 1, 1)) substr(title, 2)
    open = fresh = 1
}

# A declaration and the comment in front of it (or "").
function declare(code, comment)
{
    if (!open) section("")
    sub(/\n+$/, "", code)
    if (sub(/^OB_API /, "", code)) gsub(/\n       /, "\n", code)
    literal(code, 0)
    fresh = 0
    if (comment != "") {
        print ".Bd -filled -offset indent"
        prose(comment)
        print ".Ed"
    }
}

{
    lines[++count] = $0
}

END {
    i = 1
    comment = ""
    while (i <= count && lines[i] !~ /^\/\*/) i++
    text = lines[i]
    while (text !~ /\*\// && i < count) text = text "\n" lines[++i]
    begin_page(bare(text))
    i++
    while (i <= count) {
        line = lines[i]
        if (line ~ /^#ifdef __cplusplus/) { # what only C++ sees
            while (i <= count && lines[i] !~ /^#endif/) i++
        } else if (line ~ /^#(if|else|endif|include|elif)/ || line ~ /^#define (ONEBIT_|OB_API)/) {
            ;
        } else if (line ~ /^\/\* ----/) {
            title = line
            sub(/^\/\* -+ */, "", title)
            sub(/ *-+ *\*\/.*$/, "", title)
            section(title)
            comment = ""
        } else if (line ~ /^\/\*/) {
            text = line
            while (text !~ /\*\// && i < count) text = text "\n" lines[++i]
            comment = bare(text)
        } else if (line ~ /^[ \t]*$/) {
            if (comment != "") { # a comment by itself
                if (!open) section("")
                if (!fresh) print ".Pp"
                fresh = 0
                prose(comment)
            }
            comment = ""
        } else { # a declaration, up to the ; that ends it
            code = line
            depth = 0
            while (1) {
                plain = lines[i]
                gsub(/\/\*.*\*\//, "", plain)
                depth += gsub(/\{/, "", plain) - gsub(/\}/, "", plain)
                if ((depth == 0 && plain ~ /;[ \t]*(\/\*.*)?$/) || (code ~ /^#define/ && line !~ /\\$/) || i >= count) break
                code = code "\n" lines[++i]
            }
            while (lines[i] ~ /\/\*/ && lines[i] !~ /\*\// && i < count) code = code "\n" lines[++i] # a comment that goes on
            declare(code, comment)
            comment = ""
        }
        i++
    }
    print ".Sh SEE ALSO"
    split(pages_of_all, pages, " ")
    others = 0
    for (k = 1; k in pages; k++) if (pages[k] != name) others++
    for (k = 1; k in pages; k++)
        if (pages[k] != name) print ".Xr " pages[k] " 3" (--others ? " ," : "")
}
