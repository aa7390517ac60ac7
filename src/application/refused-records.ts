/** Records that were refused on the way in: counted and kept, so that nothing a source sent is ever lost. */

export interface RefusedRecord {
  /** UPPER_SNAKE. */
  readonly reason: string;
  readonly message: string;
  readonly field: string;
  /** The bytes as they came. */
  readonly record: Uint8Array;
}

export interface KeptRecord extends RefusedRecord {
  readonly id: bigint;
  readonly receivedAt: Date;
  /** How often the very same record has come and been refused for the same reason. */
  readonly times: bigint;
}

export interface RefusedRecords {
  /** Resolves once the record is durably kept. Calls at about the same time share a transaction. */
  keep(record: RefusedRecord): Promise<void>;
  list(options: {
    readonly reason?: string | undefined;
    readonly after?: bigint | undefined;
    readonly limit: number;
  }): Promise<{ readonly records: readonly KeptRecord[]; readonly next: bigint | undefined }>;
}
