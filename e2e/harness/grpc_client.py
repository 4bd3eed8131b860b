"""A gRPC client without an Envoy: resolves `xds:///...` by GRPC_XDS_BOOTSTRAP_CONFIG and calls without pause.

Prints a line for each call: `ok` and who answered, or the code and the details of what failed.
"""

import sys
import time

import grpc

METHOD = "/test.Echo/Who"
# longer than a client waits for what it is not told of
CALL_TIMEOUT_SECONDS = 25
PAUSE_SECONDS = 0.005


def main(target, *metadata):
    headers = [tuple(header.split("=", 1)) for header in metadata]
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)
        while True:
            try:
                print("ok", call(b"", timeout=CALL_TIMEOUT_SECONDS, metadata=headers).decode(), flush=True)
            except grpc.RpcError as error:
                print(error.code().name, error.details().replace("\n", " "), flush=True)
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
