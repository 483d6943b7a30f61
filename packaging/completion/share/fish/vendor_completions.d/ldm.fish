# completion of ldm for fish: ldm --completion fish | source
function __ldm_complete
    set -l words (commandline -opc) (commandline -ct)
    ldm --complete $words[2..-1] 2>/dev/null
end
complete -c ldm -a '(__ldm_complete)'
