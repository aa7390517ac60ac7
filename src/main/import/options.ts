/** What an import is asked to do, and what comes of it. */
import type { Tally } from './tally.ts';

export interface ImportOptions {
  /** `.csv`, or `.csv.br`. */
  readonly file: string;
  /** Address of the gRPC API: HOST:PORT. */
  readonly target: string;
  readonly rebateBps: number;
  readonly holdDays: number;
  /** On the first of each month everybody with at least so many minor units withdraws all; undefined: nobody does. */
  readonly withdrawMonthly?: number | undefined;
  /** Folder for the figures, read back through the query API; undefined: none. */
  readonly report?: string | undefined;
  /** Gives up when the server has not answered for so long. Default two minutes. */
  readonly giveUpAfterMs?: number | undefined;
}

export interface ImportIo {
  readonly out: NodeJS.WritableStream;
  readonly isTTY: boolean;
  readonly signal: AbortSignal;
  readonly clock: () => Date;
}

export interface ImportSummary {
  /** False: the file or the server stood in the way; what it was has been printed. */
  readonly completed: boolean;
  readonly rows: number;
  readonly tally: Tally;
  /** Return lines, and units, for which no purchase was found. */
  readonly orphanLines: bigint;
  readonly orphanUnits: bigint;
  readonly seconds: number;
}

/** The import cannot go on. The message says why, for people. */
export class ImportStopped extends Error {
  override readonly name = 'ImportStopped';
}
