/**
 * Draws the OpenAPI document that lies beside this page. Everything goes into the page as text, never as markup.
 * What an operation holds is drawn when it is opened: there are hundreds.
 */
(() => {
  const METHODS = ["get", "post", "put", "patch", "delete"];
  const DEPTH_MAX = 8;
  /** The document, once it is here. */
  let api = { info: {}, paths: {}, components: { schemas: {} } };

  const find = (id) => document.getElementById(id);

  /** An element with a class and children; texts are texts, and what stands between backticks is code. */
  function element(name, className, ...children) {
    const made = document.createElement(name);
    if (className) made.className = className;
    for (const child of children.flat()) {
      if (child === null || child === undefined || child === "") continue;
      made.append(...(typeof child === "string" ? prose(child) : [child]));
    }
    return made;
  }

  function prose(text) {
    return text.split("`").map((part, index) => {
      if (index % 2 === 0) return document.createTextNode(part);
      const code = document.createElement("code");
      code.textContent = part;
      return code;
    });
  }

  const plain = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.textContent = text;
    return made;
  };

  const nameOf = (schema) => schema?.$ref?.split("/").at(-1) ?? null;
  const resolve = (schema) =>
    schema?.$ref ? (api.components.schemas[nameOf(schema)] ?? {}) : (schema ?? {});
  const isNull = (schema) => schema.type === "null";

  /** `string · ≤ 64 characters`, `Agent[]`, `"a" | "b"` */
  function typeOf(schema) {
    const name = nameOf(schema);
    if (name) return name;
    const union = schema.anyOf ?? schema.oneOf;
    if (union) return [...new Set(union.map(typeOf))].join(" | ");
    if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
    if (schema.const !== undefined) return JSON.stringify(schema.const);
    if (schema.type === "array") return `${typeOf(schema.items ?? {})}[]${bounds(schema, "Items", "items")}`;
    if (schema.allOf) return schema.allOf.map(typeOf).join(" & ");
    const base = schema.format ?? schema.type ?? "anything";
    return `${base}${bounds(schema, "Length", "characters")}${range(schema)}`;
  }

  function bounds(schema, suffix, unit) {
    const [min, max] = [schema[`min${suffix}`], schema[`max${suffix}`]];
    if (min === undefined && max === undefined) return "";
    return ` · ${min === undefined ? "" : `≥ ${min} `}${max === undefined ? "" : `≤ ${max} `}${unit}`;
  }

  function range(schema) {
    const parts = [];
    if (schema.minimum !== undefined) parts.push(`≥ ${schema.minimum}`);
    if (schema.exclusiveMinimum !== undefined) parts.push(`> ${schema.exclusiveMinimum}`);
    if (schema.maximum !== undefined) parts.push(`≤ ${schema.maximum}`);
    if (schema.default !== undefined) parts.push(`default ${JSON.stringify(schema.default)}`);
    if (schema.pattern !== undefined) parts.push(schema.pattern);
    return parts.length === 0 ? "" : ` · ${parts.join(", ")}`;
  }

  /** The objects in a schema, through unions, lists and intersections. */
  function objectsOf(schema) {
    const found = resolve(schema);
    const parts = found.anyOf ?? found.oneOf ?? found.allOf;
    if (parts) return parts.filter((part) => !isNull(part)).flatMap(objectsOf);
    if (found.type === "array") return objectsOf(found.items);
    return found.properties ? [found] : [];
  }

  function fieldsOf(schema, depth) {
    const list = element("ul", "fields");
    for (const object of objectsOf(schema)) {
      for (const [name, field] of Object.entries(object.properties)) {
        list.append(fieldOf(name, field, object.required?.includes(name), depth));
      }
    }
    return list;
  }

  function fieldOf(name, schema, isRequired, depth) {
    const { description } = resolve(schema);
    const line = [
      plain("code", "", name),
      document.createTextNode(" "),
      plain("span", "type", typeOf(schema)),
      isRequired ? plain("span", "required", " required") : null,
      description ? element("span", "quiet", ` — ${description}`) : null,
    ];
    if (depth >= DEPTH_MAX || objectsOf(schema).length === 0) return element("li", "", ...line);
    const details = element("details", "", element("summary", "", ...line));
    // Shapes may hold themselves: each level is drawn when somebody opens it.
    details.addEventListener("toggle", () => details.append(fieldsOf(schema, depth + 1)), { once: true });
    return element("li", "", details);
  }

  function contentOf(content) {
    return Object.entries(content ?? {}).map(([type, { schema }]) =>
      element(
        "div",
        "",
        element("p", "quiet", plain("code", "", type), document.createTextNode(` ${typeOf(schema ?? {})}`)),
        objectsOf(schema).length > 0 ? fieldsOf(schema, 0) : null,
      ),
    );
  }

  /** A command that calls it. */
  function curlOf(method, path, operation) {
    const type = Object.keys(operation.requestBody?.content ?? {})[0];
    const lines = [
      `curl${method === "get" ? "" : ` -X ${method.toUpperCase()}`} '${location.origin}${path}'`,
    ];
    lines.push(`-H 'Authorization: Bearer evr_pat_…'`);
    if (type === "application/json") {
      lines.push(`-H 'Content-Type: application/json'`, `-d '${JSON.stringify(exampleOf(operation))}'`);
    } else if (type === "multipart/form-data") lines.push("-F 'file=@FILE'");
    else if (type) lines.push(`-H 'Content-Type: ${type}'`, "--data-binary @FILE");
    return lines.join(" \\\n  ");
  }

  function exampleOf(operation) {
    const [object] = objectsOf(operation.requestBody.content["application/json"].schema);
    const value = (schema, depth) => {
      const found = resolve(schema);
      const branch = resolve((found.anyOf ?? found.oneOf ?? [found]).find((part) => !isNull(part)));
      if (branch.examples) return branch.examples[0];
      if (branch.enum) return branch.enum[0];
      if (branch.type === "array") return depth > 3 ? [] : [value(branch.items ?? {}, depth + 1)];
      if (branch.properties) return objectValue(branch, depth + 1);
      return { string: "…", integer: 1, number: 1, boolean: true }[branch.type] ?? {};
    };
    const objectValue = (shape, depth) =>
      Object.fromEntries(
        (shape.required ?? []).map((name) => [name, value(shape.properties[name] ?? {}, depth)]),
      );
    return object ? objectValue(object, 0) : {};
  }

  function bodyOf(method, path, operation) {
    const { parameters = [], requestBody, responses } = operation;
    const parts = [];
    if (operation.description) parts.push(element("p", "", operation.description));
    for (const [place, title] of [
      ["path", "In the path"],
      ["query", "In the query"],
      ["header", "Headers"],
    ]) {
      const own = parameters.filter((parameter) => parameter.in === place);
      if (own.length === 0) continue;
      const list = element("ul", "fields");
      for (const { name, schema, required } of own) list.append(fieldOf(name, schema, required, DEPTH_MAX));
      parts.push(element("h3", "", title), list);
    }
    if (requestBody) {
      parts.push(element("h3", "", requestBody.required ? "Body" : "Body, which may be left out"));
      parts.push(...contentOf(requestBody.content));
    }
    parts.push(element("h3", "", "Answers"));
    for (const [status, { description, content }] of Object.entries(responses)) {
      const heading = [
        plain("span", "status", status),
        document.createTextNode(" "),
        ...prose(description ?? ""),
      ];
      const shape = status < "300" ? contentOf(content) : [];
      parts.push(
        shape.length === 0
          ? element("p", "", ...heading)
          : element("div", "", element("p", "", ...heading), shape),
      );
    }
    parts.push(element("h3", "", "Try it"), plain("pre", "", curlOf(method, path, operation)));
    return element("div", "", parts);
  }

  function operationOf(method, path, operation) {
    const details = element(
      "details",
      "operation",
      element(
        "summary",
        "",
        plain("span", `method ${method.toUpperCase()}`, method.toUpperCase()),
        plain("code", "", path),
        element("span", "quiet", operation.summary ?? ""),
      ),
    );
    details.id = operation.operationId;
    details.addEventListener("toggle", () => details.append(bodyOf(method, path, operation)), { once: true });
    return details;
  }

  function draw() {
    const tags = new Map();
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const method of METHODS) {
        const operation = methods[method];
        if (!operation) continue;
        const tag = operation.tags?.[0] ?? "other";
        if (!tags.has(tag)) tags.set(tag, []);
        tags.get(tag).push({ method, path, operation });
      }
    }
    const entries = [];
    for (const [tag, operations] of [...tags].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const section = element("section", "", plain("h2", "", tag));
      const group = element("div", "", plain("h2", "", tag));
      for (const { method, path, operation } of operations) {
        const shown = operationOf(method, path, operation);
        const link = element(
          "a",
          "",
          plain("span", `method ${method.toUpperCase()}`, method.toUpperCase()),
          plain("span", "", path.replace(/^\/v1/, "")),
        );
        link.href = `#${operation.operationId}`;
        link.title = operation.summary ?? "";
        section.append(shown);
        group.append(link);
        const words = `${method} ${path} ${operation.operationId} ${operation.summary} ${operation.description ?? ""} ${tag}`;
        entries.push({ shown, link, section, group, words: words.toLowerCase() });
      }
      find("operations").append(section);
      find("index").append(group);
    }
    return entries;
  }

  function search(entries, text) {
    const tokens = text.toLowerCase().split(/\s+/).filter(Boolean);
    const open = new Set();
    let count = 0;
    for (const entry of entries) {
      const isFound = tokens.every((token) => entry.words.includes(token));
      entry.shown.hidden = entry.link.hidden = !isFound;
      if (isFound) {
        open.add(entry.section);
        count += 1;
      }
    }
    for (const { section, group } of entries) section.hidden = group.hidden = !open.has(section);
    find("count").textContent = `${count} of ${entries.length} operations`;
  }

  function reveal() {
    const target = find(decodeURIComponent(location.hash.slice(1)));
    if (!(target instanceof HTMLDetailsElement)) return;
    target.open = true;
    target.scrollIntoView();
  }

  async function start() {
    const answer = await fetch("/api-doc/openapi.json");
    if (!answer.ok) throw new Error(`the document could not be loaded: ${answer.status}`);
    api = await answer.json();
    find("title").textContent = `${api.info.title} ${api.info.version}`;
    find("about").replaceChildren(...prose(api.info.description ?? ""));
    const entries = draw();
    const input = find("search");
    input.addEventListener("input", () => search(entries, input.value));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.target === input) return;
      event.preventDefault();
      input.focus();
    });
    addEventListener("hashchange", reveal);
    search(entries, input.value);
    reveal();
  }

  start().catch((error) => {
    find("about").textContent = String(error.message ?? error);
  });
})();
