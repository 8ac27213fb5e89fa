//! What producers and consumers share: metadata, connections, requests in flight.
