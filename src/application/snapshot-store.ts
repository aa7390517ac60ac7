/** Where snapshots of long streams lie: at most one of a stream. All of them may be lost at any time. */

export interface Snapshot {
  readonly stream: string;
  /** Of the last event it covers. */
  readonly revision: number;
  /** The state, packed. */
  readonly bytes: Uint8Array;
  /** What the bytes belong to: see `sealOf`. */
  readonly seal: Uint8Array;
}

export interface SnapshotStore {
  load(stream: string): Promise<Snapshot | undefined>;
  /** In place of the one before. */
  save(snapshot: Snapshot): Promise<void>;
}
