// Nothing: an API server without cloud providers (build tag providerless) takes nothing from the module of this name.
module k8s.io/legacy-cloud-providers

go 1.20
