#!/bin/sh
# evacuate.sh SOURCE TARGET: move every running domain away, for maintenance. One that cannot go stays where it is,
# is named at the end, and makes the exit status 1; the others go all the same.
source=$1 target=$2 left=
for domain in $(ldm -m "$source" list -p | sed -n 's/^DOMAIN|name=\([^|]*\)|state=active|.*/\1/p'); do
  [ "$domain" = primary ] && continue
  if why=$(ldm -m "$source" migrate-domain -c "$domain" "$target" 2>&1); then
    echo "$domain: moved to $target"
  else
    echo "$domain: stays: $(echo "$why" | head -n 1)"
    left="$left $domain"
  fi
done
[ -z "$left" ] || { echo "not evacuated:$left" >&2; exit 1; }
