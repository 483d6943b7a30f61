# completion of sun4v for fish: sun4v completion fish | source
function __sun4v_complete
    set -l words (commandline -opc) (commandline -ct)
    sun4v --complete $words[2..-1] 2>/dev/null
end
complete -c sun4v -a '(__sun4v_complete)'
