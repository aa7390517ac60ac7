/** A network that repeats itself: passes calls on, and sends ingested records again, late and out of order. */
import { randomUUID } from 'node:crypto';
import {
  Client,
  credentials,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { AccountQueryServiceService } from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import { FiguresQueryServiceService } from '../../src/gen/tallyback/figures/v1/figures_query_service.ts';
import {
  type IngestRequest,
  IngestServiceClient,
  type IngestServiceServer,
  IngestServiceService,
} from '../../src/gen/tallyback/ingest/v1/ingest_service.ts';
import { ItemQueryServiceService } from '../../src/gen/tallyback/item/v1/item_query_service.ts';
import { ProgrammeCommandServiceService } from '../../src/gen/tallyback/programme/v1/programme_command_service.ts';
import { SystemServiceService } from '../../src/gen/tallyback/system/v1/system_service.ts';

/** Sequences from here on are ours: their verdicts do not go back to the client. */
const ours = 1n << 60n;

const reports = new Set(['trackOrder', 'reportReturn', 'reportStockAdjustment']);

/** The same report under the same request id, or as another courier would bring it, under one of its own. */
function again(record: IngestRequest, sequence: bigint, fresh: boolean): IngestRequest {
  const body = record.record;
  if (!fresh || !body) return { ...record, sequence };
  return { sequence, record: { ...body, value: { ...body.value, requestId: randomUUID() } } as IngestRequest['record'] };
}

const identity = (bytes: Buffer): Buffer => bytes;

/** Unary methods, bytes in and bytes out. */
function passOn(service: ServiceDefinition, client: Client): [ServiceDefinition, UntypedServiceImplementation] {
  const definition: Record<string, MethodDefinition<Buffer, Buffer>> = {};
  const handlers: UntypedServiceImplementation = {};
  for (const [name, method] of Object.entries(service)) {
    if (method.requestStream || method.responseStream) continue;
    definition[name] = {
      ...method,
      requestSerialize: identity,
      requestDeserialize: identity,
      responseSerialize: identity,
      responseDeserialize: identity,
    };
    handlers[name] = (
      call: { readonly request: Buffer },
      done: (error: ServiceError | null, answer?: Buffer) => void,
    ): void => {
      client.makeUnaryRequest(method.path, identity, identity, call.request, done);
    };
  }
  return [definition, handlers];
}

/** `random` decides which record comes again, when, and how. Resolves with the proxy's address. */
export async function repeatingProxy(
  target: string,
  random: () => number,
): Promise<{ readonly address: string; repeats(): number; stop(): void }> {
  const upstream = new IngestServiceClient(target, credentials.createInsecure());
  const raw = new Client(target, credentials.createInsecure());
  const server = new Server();
  let repeats = 0;

  const ingest: IngestServiceServer['ingest'] = (call) => {
    const through = upstream.ingest();
    const waiting: IngestRequest[] = [];
    let mine = ours;
    let unanswered = 0;
    let ending = false;
    const endWhenAnswered = (): void => {
      if (ending && unanswered === 0) through.end();
    };
    const repeatOne = (): void => {
      const [record] = waiting.splice(Math.floor(random() * waiting.length), 1);
      if (!record) return;
      repeats++;
      unanswered++;
      through.write(again(record, mine++, random() < 0.5));
    };
    call.on('data', (record: IngestRequest) => {
      through.write(record);
      unanswered++;
      if (!reports.has(record.record?.$case ?? '')) return;
      waiting.push(record);
      // On average one repeat a record, of one that came up to thousands earlier.
      if (waiting.length > 3_000 || random() < 0.7) repeatOne();
    });
    call.on('end', () => {
      while (waiting.length > 0) repeatOne();
      ending = true;
      endWhenAnswered();
    });
    call.on('cancelled', () => through.cancel());
    through.on('data', (verdict: { readonly sequence: bigint }) => {
      unanswered--;
      if (verdict.sequence < ours) call.write(verdict as Parameters<typeof call.write>[0]);
      endWhenAnswered();
    });
    through.on('end', () => call.end());
    through.on('error', (error) => call.emit('error', error));
  };
  server.addService({ ingest: IngestServiceService.ingest }, { ingest });
  for (const service of [
    AccountQueryServiceService,
    FiguresQueryServiceService,
    ItemQueryServiceService,
    ProgrammeCommandServiceService,
    SystemServiceService,
  ]) {
    server.addService(...passOn(service, raw));
  }
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    address: `127.0.0.1:${port}`,
    repeats: () => repeats,
    stop() {
      server.forceShutdown();
      upstream.close();
      raw.close();
    },
  };
}
