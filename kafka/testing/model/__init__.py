"""What brokers do, written once for the embedded cluster and the simulator: no socket, no thread, no clock of its own.

A handler is `handler(broker, header, request)` and gives a response, a `Later`, or None; `handlers` says which API is
answered by which. Time and chance come from the cluster's `World`. The embedded broker mounts this on sockets; the
simulator mounts it in virtual time and lays its faults around it. docs/testing.md says what goes where.
"""
