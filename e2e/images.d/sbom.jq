# A CycloneDX list of what an image is made of. Input: cargo metadata. $debian: components of Debian.
# The arguments name the crates whose programs are in the image.

# The ids of all packages that those of `found` are built from: not what only tests or build scripts use.
def closure($uses; $found):
    ($found + [$found[] | $uses[.][]] | unique) as $more
    | if $more == $found then $found else closure($uses; $more) end;

(reduce .resolve.nodes[] as $node ({};
    .[$node.id] = [$node.deps[] | select(any(.dep_kinds[]; .kind == null)) | .pkg])) as $uses
| [.packages[] | select(.name as $name | any($ARGS.positional[]; . == $name)) | .id] as $roots
| closure($uses; $roots | unique) as $needed
| (INDEX($needed[]; .)) as $is_needed
| [.packages[] | select($is_needed[.id]) | {
    type: "library", name, version,
    purl: (if .source then "pkg:cargo/\(.name)@\(.version)" else null end),
    licenses: (if .license then [{expression: (.license | gsub("/"; " OR "))}] else null end)
  } | with_entries(select(.value != null))] as $crates
| {
    bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
    metadata: {component: {type: "container", name: "kubelns/lns"}},
    components: ($crates + $debian[0] | sort_by(.name, .version))
  }
