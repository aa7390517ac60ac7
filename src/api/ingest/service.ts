/** Records over one stream, and those that were refused. */
import {
  IngestServiceService as methods,
  ListRefusedRecordsRequest,
} from '../../gen/tallyback/ingest/v1/ingest_service.ts';
import type { KeptRecord } from '../../application/refused-records.ts';
import type { ApiContext } from '../context.ts';
import { bindService, type BoundService } from '../handler.ts';
import { fit, pageSize } from '../queries/page.ts';
import { decodePageToken, encodePageToken, invalidToken, type PageScope } from '../queries/page-token.ts';
import { IngestSession } from './session.ts';

/** A longer record is listed without its bytes: no client would accept the answer. In bytes. */
const longestListed = 3 << 20;

export function ingestService(context: ApiContext): BoundService {
  const { rpc, refusedRecords } = context;

  return bindService(methods, {
    ingest: rpc.bidi(methods.ingest, (duplex) => new IngestSession(context, duplex).run()),

    listRefusedRecords: rpc.unary(methods.listRefusedRecords, async ({ reason, page }) => {
      const scope: PageScope = {
        method: methods.listRefusedRecords.path,
        filter: ListRefusedRecordsRequest.encode({ reason, page: undefined }).finish(),
      };
      const { records, next } = await refusedRecords.list({
        reason: reason === '' ? undefined : reason,
        after: afterOf(scope, page?.pageToken ?? ''),
        limit: pageSize(page),
      });
      const fitting = records.slice(0, fit(records, sizeOf));
      const goOn = fitting.length < records.length ? fitting.at(-1)?.id : next;
      return {
        records: fitting.map((kept) => ({
          recordId: kept.id,
          receivedAt: kept.receivedAt,
          refusal: { reason: kept.reason, message: kept.message, field: kept.field, positionToken: '' },
          record: Buffer.from(listed(kept)),
          times: kept.times,
        })),
        nextPageToken: goOn === undefined ? '' : encodePageToken(scope, [String(goOn)]),
      };
    }),
  });
}

function afterOf(scope: PageScope, token: string): bigint | undefined {
  if (token === '') return undefined;
  const [id = '', ...more] = decodePageToken(scope, token);
  if (more.length > 0 || !/^\d{1,18}$/.test(id)) throw invalidToken();
  return BigInt(id);
}

const listed = ({ record }: KeptRecord): Uint8Array =>
  record.length > longestListed ? new Uint8Array() : record;

const sizeOf = (kept: KeptRecord): number => listed(kept).length + kept.message.length;
