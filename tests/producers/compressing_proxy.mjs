// A proxy that compresses every response and never flushes, as one that does not know event streams does.
//
// node compressing_proxy.mjs HOST PORT TARGET_HOST TARGET_PORT
import http from "node:http";
import zlib from "node:zlib";

const [host, port, targetHost, targetPort] = process.argv.slice(2);

http
  .createServer((request, response) => {
    const { method, url, headers } = request;
    const forwarded = http.request({ host: targetHost, port: targetPort, method, path: url, headers }, (answer) => {
      const isCompressed = /\bgzip\b/.test(headers["accept-encoding"] ?? "");
      const coding = isCompressed ? { "content-encoding": "gzip" } : {};
      response.writeHead(answer.statusCode, { ...answer.headers, ...coding });
      if (isCompressed) {
        answer.pipe(zlib.createGzip()).pipe(response);
      } else {
        answer.pipe(response);
      }
    });
    forwarded.on("error", () => response.destroy());
    response.on("close", () => forwarded.destroy());
    request.pipe(forwarded);
  })
  .listen(Number(port), host);
