"""Statistics: names, counting, the shared-memory blocks, sums over processes, and Envoy's ways to print them.

A worker counts in native objects (`metrics`, grouped by `scopes`) and copies them to its block (`block`) many
times a second. The supervisor reads all blocks and keeps what dead workers counted (`totals`, a `view`);
`text`, `json` and `prometheus` print a view.
"""
