"""The service: photos in by HTTP, gRPC and KServe v2; answers back; records and photos kept."""
