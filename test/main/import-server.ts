/** A server that answers an importer as the real one would, and can be told to misbehave. */
import { Server, ServerCredentials, type ServerDuplexStream, type status } from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';
import { Status } from '../../src/gen/google/rpc/status.ts';
import { ErrorInfo } from '../../src/gen/google/rpc/error_details.ts';
import { AccountQueryServiceService } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { FiguresQueryServiceService } from '../../src/gen/tallyback/figures/v1/figures_query_service.ts';
import {
  type IngestRequest,
  type IngestResponse,
  IngestServiceService,
} from '../../src/gen/tallyback/ingest/v1/ingest_service.ts';
import { ItemQueryServiceService } from '../../src/gen/tallyback/item/v1/item_query_service.ts';
import { ProgrammeCommandServiceService } from '../../src/gen/tallyback/programme/v1/programme_command_service.ts';
import { SystemServiceService } from '../../src/gen/tallyback/system/v1/system_service.ts';
import { Metadata, type ServiceError } from '@grpc/grpc-js';

export type IngestStream = ServerDuplexStream<IngestRequest, IngestResponse>;
export type Verdict = NonNullable<IngestResponse['verdict']>;

const receipt = { positionToken: 'token', revision: 0n, duplicate: false, unchanged: false };
export const accepted: Verdict = { $case: 'accepted', value: receipt };
export const duplicate: Verdict = { $case: 'duplicate', value: { ...receipt, duplicate: true } };
export const refused = (reason: string): Verdict => ({
  $case: 'refused',
  value: { reason, message: 'because', field: '', positionToken: '' },
});

/** An error with a reason from the server's catalogue. */
export function failure(code: status, reason: string, message = 'because'): ServiceError {
  const info = ErrorInfo.encode({ reason, domain: 'tallyback', metadata: {} }).finish();
  const detail = { typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value: Buffer.from(info) };
  const metadata = new Metadata();
  metadata.set(
    'grpc-status-details-bin',
    Buffer.from(Status.encode({ code, message, details: [detail] }).finish()),
  );
  return Object.assign(new Error(message), { code, details: message, metadata });
}

export interface Behaviour {
  /** Called for every stream, in order of arrival, with its number (0, 1 …). */
  readonly ingest: (stream: IngestStream, number: number) => void;
  readonly publish?: () => ServiceError | undefined;
  readonly waitFor?: (including: boolean) => ServiceError | undefined;
}

/** Gives the address. The server ends with the test. */
export async function importServer({ ingest, publish, waitFor }: Behaviour): Promise<string> {
  const server = new Server();
  let streams = 0;
  const read = { positionToken: 'effects', stale: false, lagEvents: 0n };
  const nothingMore = { nextPageToken: '', read };
  server.addService(IngestServiceService, { ingest: (call: IngestStream) => ingest(call, streams++) });
  server.addService(ProgrammeCommandServiceService, {
    publishRuleSet: (_: unknown, answer: (error: ServiceError | null, value?: unknown) => void) =>
      answer(publish?.() ?? null, { receipt }),
  });
  server.addService(SystemServiceService, {
    waitFor: (
      call: { request: { consistency?: { includingEffects: boolean } } },
      answer: (error: ServiceError | null, value?: unknown) => void,
    ) => answer(waitFor?.(call.request.consistency?.includingEffects === true) ?? null, { read }),
  });
  server.addService(AccountQueryServiceService, {
    listBalances: (_: unknown, answer: (error: null, value: unknown) => void) =>
      answer(null, { balances: [], ...nothingMore }),
  });
  server.addService(ItemQueryServiceService, {
    listStock: (_: unknown, answer: (error: null, value: unknown) => void) =>
      answer(null, { stock: [], ...nothingMore }),
  });
  server.addService(FiguresQueryServiceService, {
    listWindows: (_: unknown, answer: (error: null, value: unknown) => void) =>
      answer(null, { windows: [], ...nothingMore }),
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  onTestFinished(() => server.forceShutdown());
  return `127.0.0.1:${port}`;
}
