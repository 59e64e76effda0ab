// etcd, because Debian's 3.4 cannot ask for the progress notices that watch bookmarks are made of.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
