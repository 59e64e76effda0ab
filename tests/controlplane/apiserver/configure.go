package main

import (
	"maps"
	"net"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	apiextensionsopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/apiserver/pkg/authentication/token/tokenfile"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	authorizers "k8s.io/apiserver/pkg/authorization/union"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	aggregatoropenapi "k8s.io/kube-aggregator/pkg/generated/openapi"
	"k8s.io/kube-openapi/pkg/common"

	"vllm-autoscaler/controlplane/generated"
)

// parts are what the three servers share.
type parts struct {
	config    genericapiserver.Config
	etcd      genericoptions.EtcdOptions
	informers informers.SharedInformerFactory
	tokens    authenticator.Token
}

// rest is the configuration of a further server in the chain: the same, with a codec of its own, and without
// the hooks and checks that the first one has already.
func (p *parts) rest(codec runtime.Codec, resources *serverstorage.ResourceConfig) (genericapiserver.Config, error) {
	config, etcd := p.config, p.etcd
	config.PostStartHooks = map[string]genericapiserver.PostStartHookConfigEntry{}
	config.MergedResourceConfig = resources
	etcd.StorageConfig.Codec = codec
	etcd.SkipHealthEndpoints = true
	config.RESTOptionsGetter = nil
	return config, etcd.ApplyTo(&config)
}

func configure(o options) (*parts, error) {
	p := &parts{config: *genericapiserver.NewConfig(codecs)}
	p.config.ShutdownWatchTerminationGracePeriod = time.Second // open watches end too, or a stop takes a minute
	p.config.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	p.config.AggregatedDiscoveryGroupManager = aggregated.NewResourceManager("apis")
	p.config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(
		definitions, openapinamer.NewDefinitionNamer(scheme, apiextensions.Scheme, aggregatorscheme.Scheme))
	if err := p.serve(o); err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(p.config.LoopbackClientConfig)
	if err != nil {
		return nil, err
	}
	p.informers = informers.NewSharedInformerFactory(client, 0)
	p.config.Authorization.Authorizer = authorizers.New(
		authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup), newRBAC(p.informers.Rbac().V1()))
	if err := p.authenticate(o); err != nil {
		return nil, err
	}
	p.store(o)
	if err := p.etcd.ApplyTo(&p.config); err != nil {
		return nil, err
	}
	audit := genericoptions.NewAuditOptions()
	audit.PolicyFile, audit.LogOptions.Path = o.auditPolicy, o.auditLog
	if err := audit.ApplyTo(&p.config); err != nil {
		return nil, err
	}
	return p, p.admit(client)
}

func (p *parts) serve(o options) error {
	serving := genericoptions.NewSecureServingOptions().WithLoopback()
	serving.BindAddress = net.IPv4(127, 0, 0, 1)
	serving.BindPort = o.port
	serving.ServerCert.CertKey = genericoptions.CertKey{CertFile: o.certFile, KeyFile: o.keyFile}
	return serving.ApplyTo(&p.config.SecureServing, &p.config.LoopbackClientConfig)
}

func (p *parts) authenticate(o options) error {
	ca, err := dynamiccertificates.NewDynamicCAContentFromFile("client-ca", o.clientCA)
	if err != nil {
		return err
	}
	if p.tokens, err = tokenfile.NewCSV(o.tokens); err != nil {
		return err
	}
	known := group.NewAuthenticatedGroupAdder(union.New(
		x509.NewDynamic(ca.VerifyOptions, x509.CommonNameUserConversion),
		bearertoken.New(p.tokens),
	))
	p.config.Authentication.Authenticator = union.NewFailOnError(known, anonymous.NewAuthenticator(nil))
	return p.config.Authentication.ApplyClientCert(ca, p.config.SecureServing)
}

func (p *parts) store(o options) {
	backend := storagebackend.NewDefaultConfig("/registry", codecs.LegacyCodec(storageVersions()...))
	backend.Transport.ServerList = []string{o.etcd}
	p.etcd = *genericoptions.NewEtcdOptions(backend)
	p.etcd.EnableWatchCache = o.watchCache
}

// admit leaves of the admission chain that a namespace must exist and not be going.
func (p *parts) admit(client kubernetes.Interface) error {
	dynamicClient, err := dynamic.NewForConfig(p.config.LoopbackClientConfig)
	if err != nil {
		return err
	}
	admission := genericoptions.NewAdmissionOptions()
	admission.RecommendedPluginOrder = []string{"NamespaceLifecycle"}
	return admission.ApplyTo(
		&p.config, p.informers, client, dynamicClient, utilfeature.DefaultFeatureGate, p.config.EffectiveVersion)
}

// definitions are the OpenAPI schemas of all types; server-side apply cannot do without them.
func definitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	all := generated.GetOpenAPIDefinitions(ref)
	maps.Copy(all, apiextensionsopenapi.GetOpenAPIDefinitions(ref))
	maps.Copy(all, aggregatoropenapi.GetOpenAPIDefinitions(ref))
	return all
}
