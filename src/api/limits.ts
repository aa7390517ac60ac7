/** What one process takes on at a time, and how long it waits for slow clients. */

export interface ApiLimits {
  /** Largest request, in bytes; above it gRPC itself answers RESOURCE_EXHAUSTED. */
  readonly maxReceiveBytes: number;
  /** Largest response, in bytes. Most clients refuse more than 4 MiB. */
  readonly maxSendBytes: number;
  /**
   * Open calls of one connection; further ones wait at the client. One that arrives together with the end of another may be
   * refused with RESOURCE_EXHAUSTED (Node 22.23 and 24.21; 20.20 lets it in).
   */
  readonly maxConcurrentStreams: number;
  /** Open watches of all clients, and of one (by the host of its connections). */
  readonly maxWatches: number;
  readonly maxWatchesPerClient: number;
  /** Snapshots being sent at once: each holds a database connection. Others wait for their turn. */
  readonly maxSnapshots: number;
  /** A client that takes nothing of its snapshot for so long loses the watch. */
  readonly snapshotStallMs: number;
  /** A snapshot that is not through after so long is given up. */
  readonly snapshotMs: number;
  /** After a reset, watches start again spread over this time. */
  readonly resetSpreadMs: number;
  /** A client that takes nothing of its changes for so long loses the watch. */
  readonly writeStallMs: number;
  /** A read model that is behind the log for so long has fallen behind, and watches say so. */
  readonly lagMs: number;
  /** Silence after which a watch sends a heartbeat, unless the client asks for another. */
  readonly heartbeatMs: number;
  /** Queries that wait for a read model at once. */
  readonly maxWaiters: number;
  /** Records of one Ingest stream that are being carried out at once. */
  readonly ingestWindow: number;
  /** Connections of browsers. */
  readonly maxEventStreamConnections: number;
  /** A browser that has not sent its request after so long is cut off. */
  readonly requestMs: number;
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly connectionIdleMs: number;
  /** Connections are asked to go after so long (±10 %): it spreads long streams over instances, frees stuck ones. */
  readonly connectionAgeMs: number;
  readonly connectionAgeGraceMs: number;
}

export const defaultLimits: ApiLimits = {
  maxReceiveBytes: 4 << 20,
  maxSendBytes: 4 << 20,
  maxConcurrentStreams: 1_000,
  maxWatches: 20_000,
  maxWatchesPerClient: 10_000,
  maxSnapshots: 8,
  snapshotStallMs: 10_000,
  snapshotMs: 300_000,
  resetSpreadMs: 1_000,
  writeStallMs: 60_000,
  lagMs: 2_000,
  heartbeatMs: 10_000,
  maxWaiters: 5_000,
  ingestWindow: 256,
  maxEventStreamConnections: 1_000,
  requestMs: 10_000,
  keepaliveMs: 30_000,
  keepaliveTimeoutMs: 10_000,
  connectionIdleMs: 600_000,
  connectionAgeMs: 1_800_000,
  connectionAgeGraceMs: 30_000,
};
