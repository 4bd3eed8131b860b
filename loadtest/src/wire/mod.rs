//! As much of HTTP/2, gRPC and protobuf as one cheap ADS stream takes, without IO.
