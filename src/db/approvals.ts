/** Approvals as people see them: pages, and one by its id. */

import type { ApprovalDecision } from "../contract/approval.ts";
import type { Db } from "./pool.ts";
import type { Page, Slice } from "./search.ts";

export type ApprovalStatus = "pending" | "decided" | "expired" | "cancelled";

export interface ApprovalRow {
  id: string;
  session_id: string;
  run_id: string;
  tool_call_id: string;
  tool_name: string;
  arguments: Record<string, unknown>;
  arguments_hash: string;
  reason: string;
  requested_at: Date;
  expires_at: Date;
  status: ApprovalStatus;
  decision: ApprovalDecision | null;
  decided_at: Date | null;
  decided_by: string | null;
  edited_arguments: Record<string, unknown> | null;
  comment: string | null;
}

/** A row whose run has ended is not pending, whatever it says: a cancelled turn leaves it behind. */
const shownApprovals = ({ sql }: Pick<Db, "sql">, organizationId: string) => sql`
  select w.id, w.session_id, w.run_id, w.tool_call_id, w.tool_name, w.arguments, w.arguments_hash, w.reason,
         w.requested_at, w.expires_at, w.decision, w.decided_at, w.decided_by, w.edited_arguments, w.comment,
         case w.status when 'settled' then 'decided'
                       when 'pending' then case when r.state = 'waiting' then 'pending' else 'cancelled' end
                       else w.status end as status
    from waits w
    join runs r on r.id = w.run_id
    join sessions s on s.id = w.session_id and s.deleted_at is null
   where w.kind = 'approval' and w.organization_id = ${organizationId}`;

/** Newest first. A filter that is null leaves nothing out. */
export async function listApprovals(
  { sql }: Db,
  input: { organizationId: string; status: ApprovalStatus | null; sessionId: string | null } & Slice,
): Promise<Page<ApprovalRow>> {
  const wanted = sql`
    select * from (${shownApprovals({ sql }, input.organizationId)}) shown
     where ${input.status === null ? sql`true` : sql`status = ${input.status}`}
       and ${input.sessionId === null ? sql`true` : sql`session_id = ${input.sessionId}`}`;
  const [rows, counted] = await Promise.all([
    sql<ApprovalRow[]>`
      ${wanted} order by requested_at desc, id desc limit ${input.limit} offset ${input.offset}`,
    sql<{ total: number }[]>`select count(*) as total from (${wanted}) counted`,
  ]);
  return { rows, total: counted[0]?.total ?? 0 };
}

/** null when there is none. */
export async function findApproval(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<ApprovalRow | null> {
  const rows = await sql<ApprovalRow[]>`
    select * from (${shownApprovals({ sql }, organizationId)}) shown where id = ${id}`;
  return rows[0] ?? null;
}
