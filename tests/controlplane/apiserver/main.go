// An API server for tests, composed of the libraries that Kubernetes publishes: the generic API server, the
// server of CustomResourceDefinitions and the aggregation layer, over etcd. The README says what is not in it.
package main

import (
	"flag"
	"os"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/klog/v2"
)

// options are flags of the names that kube-apiserver gives them.
type options struct {
	etcd, certFile, keyFile, clientCA, tokens string
	proxyCertFile, proxyKeyFile               string
	auditPolicy, auditLog                     string
	port                                      int
	watchCache                                bool
}

func main() {
	var o options
	flag.StringVar(&o.etcd, "etcd-servers", "", "the URL of etcd")
	flag.IntVar(&o.port, "secure-port", 0, "the port on 127.0.0.1")
	flag.StringVar(&o.certFile, "tls-cert-file", "", "the serving certificate")
	flag.StringVar(&o.keyFile, "tls-private-key-file", "", "its key")
	flag.StringVar(&o.clientCA, "client-ca-file", "", "who signs client certificates")
	flag.StringVar(&o.tokens, "token-auth-file", "", "CSV: token,user,uid,\"group,group\"")
	flag.StringVar(&o.proxyCertFile, "proxy-client-cert-file", "", "the certificate shown to aggregated API servers")
	flag.StringVar(&o.proxyKeyFile, "proxy-client-key-file", "", "its key")
	flag.BoolVar(&o.watchCache, "watch-cache", true, "serve watches from memory, not from etcd")
	flag.StringVar(&o.auditPolicy, "audit-policy-file", "", "whose requests are noted")
	flag.StringVar(&o.auditLog, "audit-log-path", "", "where")
	klog.InitFlags(nil)
	flag.Parse()
	if err := run(o); err != nil {
		klog.ErrorS(err, "cannot serve")
		os.Exit(1)
	}
}

func run(o options) error {
	ctx := genericapiserver.SetupSignalContext()
	parts, err := configure(o)
	if err != nil {
		return err
	}
	extensions, err := newExtensions(parts)
	if err != nil {
		return err
	}
	builtin, err := newBuiltin(parts, extensions.GenericAPIServer)
	if err != nil {
		return err
	}
	aggregator, err := newAggregator(o, parts, builtin, extensions)
	if err != nil {
		return err
	}
	prepared, err := aggregator.PrepareRun()
	if err != nil {
		return err
	}
	return prepared.Run(ctx)
}
