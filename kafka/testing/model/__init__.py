"""What brokers do, written once for the embedded cluster and the simulator: no socket, no thread, no clock of its own.

A handler is `handler(broker, header, request)` and gives a response, a `Later`, or None; `handlers` says which API is
answered by which. Time and chance come from the cluster's `World`. The embedded broker mounts this on sockets; the
simulator mounts it in virtual time and lays its faults around it.

A coordinator of groups (classic, KIP-848, share) is a class beside `Transactions`: a field of `Cluster`, found through
`Cluster.home`, its rebalances `Later`s that it completes, with its handlers in a module `*_apis`. Fetch sessions are
kept by `Broker`, since no connection owns them, and used by `fetch`. A SASL session belongs to one connection: `serve`
is where it stands between the frame and the handlers; what admin clients ask is a handler in `admin` each.
"""
