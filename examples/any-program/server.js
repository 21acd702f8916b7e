// A web server as Node programs are: HTTP, and a WebSocket that sends back what it gets. It knows nothing of Narthex but PORT.
//
//   /            a page          /whoami   who answers, as JSON
//   /slow?ms=n   an answer after a while   /echo   a WebSocket (RFC 6455, texts up to 64 KiB)

import { createHash } from "node:crypto";
import { createServer } from "node:http";

const open = new Set();

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  if (url.pathname === "/whoami") {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({
      program: "node",
      process: process.pid,
      instance: process.env.NARTHEX_INSTANCE,
      path: request.url,
      prefix: request.headers["x-forwarded-prefix"] ?? "",
    }));
  } else if (url.pathname === "/slow") {
    console.log("slow begins");
    setTimeout(() => response.end("slow but sure"), Number(url.searchParams.get("ms") ?? 1000));
  } else if (url.pathname === "/") {
    // Relative links work wherever the program is registered.
    response.setHeader("content-type", "text/html; charset=utf-8");
    response.end(`<!doctype html><title>Node</title><h1>Node, process ${process.pid}</h1>
<p><a href="whoami">who am I</a> <p><input id="text" placeholder="say something"> <output id="echo"></output>
<script>
  const socket = new WebSocket(new URL("echo", location.href).href.replace(/^http/, "ws"));
  socket.onmessage = (event) => { echo.textContent = "the server says: " + event.data; };
  text.onchange = () => socket.send(text.value);
</script>`);
  } else {
    response.statusCode = 404;
    response.end("there is no such page");
  }
});

server.on("upgrade", (request, socket) => {
  const key = request.headers["sec-websocket-key"];
  if (new URL(request.url, "http://localhost").pathname !== "/echo" || !key) {
    socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    return;
  }
  const accept = createHash("sha1").update(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  open.add(socket);
  socket.on("close", () => open.delete(socket));
  socket.on("error", () => socket.destroy());
  socket.on("end", () => socket.end());
  let rest = Buffer.alloc(0);
  socket.on("data", (data) => {
    rest = Buffer.concat([rest, data]);
    for (let frame; (frame = takeFrame(rest)); ) {
      rest = frame.rest;
      if (frame.opcode === 8) {
        socket.end(header(8, frame.payload));
      } else if (frame.opcode === 9) {
        socket.write(header(10, frame.payload));
      } else if (frame.opcode === 1 || frame.opcode === 2) {
        socket.write(header(frame.opcode, frame.payload));
      }
    }
  });
});

// One whole frame from the beginning of what has come, unmasked.
function takeFrame(bytes) {
  if (bytes.length < 2) return undefined;
  let length = bytes[1] & 127;
  let start = 2;
  if (length === 126) {
    if (bytes.length < 4) return undefined;
    length = bytes.readUInt16BE(2);
    start = 4;
  }
  if (bytes.length < start + 4 + length) return undefined;
  const mask = bytes.subarray(start, start + 4);
  const payload = Buffer.from(bytes.subarray(start + 4, start + 4 + length));
  for (let i = 0; i < payload.length; i += 1) payload[i] ^= mask[i % 4];
  return { opcode: bytes[0] & 15, payload, rest: bytes.subarray(start + 4 + length) };
}

function header(opcode, payload) {
  const long = payload.length > 125;
  const head = Buffer.alloc(long ? 4 : 2);
  head[0] = 128 | opcode;
  head[1] = long ? 126 : payload.length;
  if (long) head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, payload]);
}

process.on("SIGTERM", () => {
  // 1012: come back, this is a restart.
  for (const socket of open) socket.end(header(8, Buffer.from([3, 244])));
  server.close();
});

// PORT is a number, or with `--listen socket` there is a path.
server.listen(process.env.NARTHEX_SOCKET ?? { port: process.env.PORT, host: process.env.HOST }, () => {
  console.log("listening");
});
