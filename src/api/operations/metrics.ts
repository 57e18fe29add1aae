/**
 * `/metrics` in the text format of Prometheus: the queue, the workers and the database as they stand now, and what
 * this process has answered since it began. Figures are of the whole installation and name no tenant.
 */
import { Elysia } from "elysia";
import { UserError } from "../../base/errors.ts";
import { type Figures, readFigures } from "../../db/metrics.ts";
import type { ApiDeps } from "../deps.ts";
import { authorize } from "../http/authorize.ts";
import { DEFAULT_ORGANIZATION } from "../http/identify.ts";

type Labels = Readonly<Record<string, string | number>>;

interface Metric {
  name: string;
  type: "gauge" | "counter";
  help: string;
  samples: readonly (readonly [Labels, number])[];
}

/** Requests by method and status class; the routes' names would be many, the log has them. */
export interface RequestCounts {
  count(method: string, status: number, seconds: number): void;
  metrics(): Metric[];
}

export function createRequestCounts(): RequestCounts {
  const counts = new Map<string, { labels: Labels; answered: number; seconds: number }>();
  return {
    count(method, status, seconds) {
      const key = `${method} ${status}`;
      const entry = counts.get(key) ?? { labels: { method, status }, answered: 0, seconds: 0 };
      entry.answered += 1;
      entry.seconds += seconds;
      counts.set(key, entry);
    },
    metrics() {
      const entries = [...counts.values()];
      return [
        {
          name: "everruns_http_requests_total",
          type: "counter",
          help: "Requests that were answered; a stream counts when it has closed.",
          samples: entries.map(({ labels, answered }) => [labels, answered] as const),
        },
        {
          name: "everruns_http_request_seconds_total",
          type: "counter",
          help: "Time that those requests took together.",
          samples: entries.map(({ labels, seconds }) => [labels, seconds] as const),
        },
      ];
    },
  };
}

export function metricsRoute(
  deps: Pick<ApiDeps, "db" | "identify" | "streams" | "version">,
  requests: RequestCounts,
) {
  return new Elysia().get("/metrics", async ({ request }) => {
    const caller = await deps.identify(request);
    authorize({ method: "GET" }, caller, {});
    if (caller.organizationId !== DEFAULT_ORGANIZATION) {
      throw new UserError(
        "forbidden",
        "these figures are of the whole installation, not of one organization",
      );
    }
    const figures = await readFigures(deps.db);
    const text = [
      ...installationMetrics(figures),
      ...requests.metrics(),
      ...processMetrics(deps.streams.open(), deps.version),
    ]
      .map(toText)
      .join("");
    return new Response(text, { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } });
  });
}

function installationMetrics(figures: Figures): Metric[] {
  const { workers, tables } = figures;
  return [
    {
      name: "everruns_runs",
      type: "gauge",
      help: "Runs that have not ended, by state; delayed ones are queued and not yet due.",
      samples: [
        [{ state: "queued" }, figures.queued],
        [{ state: "delayed" }, figures.delayed],
        [{ state: "running" }, figures.running],
        ...Object.entries(figures.waiting).map(
          ([on, count]) => [{ state: "waiting", waiting_on: on }, count] as const,
        ),
      ],
    },
    gauge(
      "everruns_queue_oldest_seconds",
      "How long the oldest due run waits.",
      figures.oldest_queued_seconds,
    ),
    gauge("everruns_approvals_pending", "Approvals that nobody has decided on.", figures.approvals_pending),
    gauge("everruns_approvals_oldest_seconds", "Age of the oldest of them.", figures.oldest_approval_seconds),
    {
      name: "everruns_worker_slots",
      type: "gauge",
      help: "Runs that a worker takes at once.",
      samples: workers.map((worker) => [labelsOf(worker), worker.concurrency]),
    },
    {
      name: "everruns_worker_load",
      type: "gauge",
      help: "Runs that a worker has in hand, as it last reported.",
      samples: workers.map((worker) => [labelsOf(worker), worker.load]),
    },
    {
      name: "everruns_worker_runs_total",
      type: "counter",
      help: "Runs that a worker has ended.",
      samples: workers.flatMap((worker) => [
        [{ worker_id: worker.id, outcome: "completed" }, worker.runs_completed] as const,
        [{ worker_id: worker.id, outcome: "failed" }, worker.runs_failed] as const,
      ]),
    },
    {
      name: "everruns_database_deadlocks_total",
      type: "counter",
      help: "Deadlocks (SQLSTATE 40P01) in this database. One lock order everywhere: it stays 0.",
      samples: [[{}, figures.deadlocks]],
    },
    {
      name: "everruns_database_transactions_total",
      type: "counter",
      help: "Transactions in this database.",
      samples: [
        [{ outcome: "commit" }, figures.commits],
        [{ outcome: "rollback" }, figures.rollbacks],
      ],
    },
    {
      name: "everruns_table_rows",
      type: "gauge",
      help: "Rows as PostgreSQL estimates them; dead ones wait for a vacuum.",
      samples: tables.flatMap(({ name, live, dead }) => [
        [{ table: name, kind: "live" }, live] as const,
        [{ table: name, kind: "dead" }, dead] as const,
      ]),
    },
  ];
}

function labelsOf({ id, status }: Figures["workers"][number]): Labels {
  return { worker_id: id, status };
}

function processMetrics(streams: number, version: string): Metric[] {
  const { user, system } = process.cpuUsage();
  return [
    gauge("everruns_streams_open", "Event streams that are open in this process.", streams),
    {
      name: "everruns_info",
      type: "gauge",
      help: "This program.",
      samples: [[{ version }, 1]],
    },
    {
      name: "process_cpu_seconds_total",
      type: "counter",
      help: "User and system time.",
      samples: [[{}, (user + system) / 1e6]],
    },
    gauge("process_resident_memory_bytes", "Resident memory.", process.memoryUsage.rss()),
    gauge(
      "process_start_time_seconds",
      "Unix time at which it began.",
      Date.now() / 1_000 - process.uptime(),
    ),
  ];
}

function gauge(name: string, help: string, value: number): Metric {
  return { name, type: "gauge", help, samples: [[{}, value]] };
}

/** One metric in the exposition format, version 0.0.4. */
function toText({ name, type, help, samples }: Metric): string {
  const lines = samples.map(([labels, value]) => {
    const inside = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(String(text))}"`);
    return `${name}${inside.length === 0 ? "" : `{${inside.join(",")}}`} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
