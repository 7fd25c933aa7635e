#!/bin/sh
# Makes the source RSE of a catalogue with Rucio's own commands, as an administrator:
#     source-rse.sh RSE FTS_URL DESTINATION_RSE...
set -eu
rse=$1 fts=$2
shift 2

rucio rse add --non-deterministic "$rse"
for scheme_port in https:443 http:80; do
  rucio rse protocol add "$rse" \
    --scheme "${scheme_port%:*}" --hostname localhost --port "${scheme_port#*:}" --prefix / \
    --impl stac_policy.protocol.Default --domain-json '{
      "lan": {"read": 1, "write": null, "delete": null},
      "wan": {"read": 1, "write": 1, "delete": null, "third_party_copy_read": 1}
    }'
done
rucio rse attribute set "$rse" --key fts --value "$fts"
rucio rse attribute set "$rse" --key supported_checksums --value none
rucio rse update "$rse" --key availability_write --value False
for destination in "$@"; do
  rucio rse distance set "$rse" "$destination" --distance 1
done
