// `ws` on Node's own HTTP server. What its paths do is said in ../src/lib.rs.

import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const [flag, port] = process.argv.slice(2);
if (flag !== "--port" || !port) {
  console.error("usage: ws-node.js --port N");
  process.exit(2);
}

const binary = { binary: true };
const text = { binary: false };
// As by default, but for compression, which is off by default, and its threshold, below which our messages may be.
const servers = {
  "/echo": new WebSocketServer({ noServer: true }),
  "/text": new WebSocketServer({ noServer: true, perMessageDeflate: { threshold: 64 } }),
  "/broadcast": new WebSocketServer({ noServer: true }),
};
servers["/echo"].on("connection", (socket) => {
  socket.on("message", (message) => socket.send(message, binary));
});
servers["/text"].on("connection", (socket) => {
  socket.on("message", (message) => socket.send(message, text));
});
servers["/broadcast"].on("connection", (socket) => {
  socket.on("message", (message) => {
    for (const member of servers["/broadcast"].clients) member.send(message, binary);
  });
});
for (const server of Object.values(servers)) {
  // A client that resets its connection is not worth a line in a benchmark.
  server.on("connection", (socket) => socket.on("error", () => {}));
}

const http = createServer();
http.on("upgrade", (request, socket, head) => {
  const server = servers[request.url];
  if (!server) {
    socket.destroy();
    return;
  }
  server.handleUpgrade(request, socket, head, (client) => server.emit("connection", client, request));
});
http.listen({ host: "127.0.0.1", port: Number(port), backlog: 4096 }, () => console.log("ready"));
