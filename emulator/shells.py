"""Completion for bash, zsh and fish: small scripts that ask ``PROGRAM --complete WORD...``, of any of our programs.

The words are those behind the program's name up to the one that is being typed, which is the last and may be empty.
What the program answers with, a line each, may stand in its place; where it answers nothing the shell offers files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

PROGRAMS: Mapping[str, str] = {"sun4v": "sun4v completion {shell}", "ldm": "ldm --completion {shell}"}
"""Programs that answer, and what prints the script of one."""
SHELLS = ("bash", "zsh", "fish")
_BASH = """\
# completion of PROGRAM for bash: source <(SOURCE)
_PROGRAM() {
    local words line=${COMP_LINE:0:COMP_POINT} current candidate
    # bash takes = and : and @ for ends of words; the program does not
    read -r -a words <<< "${line#*[[:space:]]}"
    [[ $line == *[[:space:]] ]] && words+=("")
    (( ${#words[@]} )) || words=("")
    current=${words[-1]}
    COMPREPLY=()
    while IFS= read -r candidate; do
        if [[ $current == *[=@:]* ]]; then
            local before=${current%"${COMP_WORDS[COMP_CWORD]}"}
            [[ ${COMP_WORDS[COMP_CWORD]} == [=@:] ]] && before=$current
            candidate=${candidate#"$before"}
        fi
        COMPREPLY+=("$candidate")
    done < <(PROGRAM --complete "${words[@]}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]] && compopt -o nospace
}
complete -o default -F _PROGRAM PROGRAM
"""
_ZSH = """\
#compdef PROGRAM
# completion of PROGRAM for zsh: source <(SOURCE)
_PROGRAM() {
    local -a found
    found=("${(@f)$(PROGRAM --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ${#found} )); then
        compadd -S '' -- ${(M)found:#*[=/]}
        compadd -- ${found:#*[=/]}
    else
        _files
    fi
}
if [[ ${funcstack[1]} == _PROGRAM ]]; then
    _PROGRAM "$@"
else
    compdef _PROGRAM PROGRAM
fi
"""
_FISH = """\
# completion of PROGRAM for fish: SOURCE | source
function __PROGRAM_complete
    set -l words (commandline -opc) (commandline -ct)
    PROGRAM --complete $words[2..-1] 2>/dev/null
end
complete -c PROGRAM -a '(__PROGRAM_complete)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_INSTALLED = {
    "bash": "share/bash-completion/completions/{program}",
    "zsh": "share/zsh/site-functions/_{program}",
    "fish": "share/fish/vendor_completions.d/{program}.fish",
}
"""Where each shell looks for it, below the prefix a program is installed in."""


def script(shell: str, program: str) -> str:
    """The script of a shell for a program."""
    source = PROGRAMS[program].format(shell=shell)
    return _SCRIPTS[shell].replace("SOURCE", source).replace("PROGRAM", program)


def installed() -> Iterator[tuple[str, str]]:
    """Files of all scripts below the prefix, and what is in them."""
    for program in PROGRAMS:
        for shell in SHELLS:
            yield _INSTALLED[shell].format(program=program), script(shell, program)
