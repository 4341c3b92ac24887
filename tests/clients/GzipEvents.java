import com.sun.net.httpserver.HttpServer;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.zip.GZIPInputStream;

/**
 * Reads a stream of a gateway with Java's own gzip reader, and the same stream without a coding. Each event has to arrive
 * before the next one is produced, and both have to be equal to the last byte.
 *
 * <pre>java tests/clients/GzipEvents.java target/debug/rillgate</pre>
 */
class GzipEvents {
    static final int EVENTS = 200;
    static final LinkedBlockingQueue<String> PRODUCED = new LinkedBlockingQueue<>();

    public static void main(String[] arguments) throws Exception {
        HttpServer producer = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        producer.setExecutor(Executors.newCachedThreadPool(GzipEvents::daemon));
        producer.createContext("/", exchange -> {
            exchange.getResponseHeaders().set("content-type", "text/event-stream");
            exchange.sendResponseHeaders(200, 0);
            try (OutputStream body = exchange.getResponseBody()) {
                body.flush();
                for (int number = 0; number < EVENTS; number++) {
                    body.write(PRODUCED.take().getBytes(StandardCharsets.UTF_8));
                    body.flush();
                }
            } catch (InterruptedException stopped) {
                Thread.currentThread().interrupt();
            }
        });
        producer.start();
        int port = freePort();
        Path configuration = Files.createTempFile("rillgate", ".toml");
        Files.writeString(configuration, """
            [[listeners]]
            address = "127.0.0.1:%d"
            [upstreams.producer]
            urls = ["http://127.0.0.1:%d"]
            [[routes]]
            name = "all"
            path = "/{name}"
            upstream = "producer"
            auth = "public"
            on_end = "complete"
            [routes.delivery]
            compression = ["gzip"]
            compression_window = { events = 16 }
            """.formatted(port, producer.getAddress().getPort()));
        Process gateway =
            new ProcessBuilder(arguments[0], "serve", "--config", configuration.toString()).inheritIO().start();
        int status = 1;
        try {
            compare(port);
            status = 0;
        } catch (Throwable error) {
            error.printStackTrace();
        }
        gateway.destroy();
        gateway.waitFor();
        Files.delete(configuration);
        System.exit(status);
    }

    static void compare(int port) throws Exception {
        Reader plain = new Reader(port, false);
        Reader gzip = new Reader(port, true);
        for (int number = 0; number < EVENTS; number++) {
            String event = "id: %d\ndata: {\"symbol\":\"ACME\",\"price\":%d,\"note\":\"€ %x\"}\n\n"
                .formatted(number, number * 7, number * 2654435761L);
            PRODUCED.put(event);
            // Neither gets another byte before both have this one.
            plain.waitFor(event);
            gzip.waitFor(event);
        }
        String expected = plain.end();
        if (!gzip.end().equals(expected)) {
            throw new AssertionError("gzip and identity differ");
        }
        System.out.printf("%d events at once, equal to identity: %d bytes, %d sent%n", EVENTS, expected.length(),
            gzip.received());
    }

    /** One response, read by a thread. */
    static class Reader {
        private final StringBuffer text = new StringBuffer();
        private final CompletableFuture<Void> end = new CompletableFuture<>();
        private final Counted counted;

        Reader(int port, boolean isGzip) throws Exception {
            HttpURLConnection connection = open(port, isGzip);
            String coding = connection.getHeaderField("content-encoding");
            if (isGzip != "gzip".equals(coding)) {
                throw new AssertionError("content-encoding: " + coding);
            }
            counted = new Counted(connection.getInputStream());
            daemon(() -> {
                try (InputStream body = isGzip ? new GZIPInputStream(counted) : counted) {
                    byte[] part = new byte[4096];
                    for (int count = body.read(part); count >= 0; count = body.read(part)) {
                        text.append(new String(part, 0, count, StandardCharsets.UTF_8));
                    }
                    end.complete(null);
                } catch (Exception error) {
                    end.completeExceptionally(error);
                }
            }).start();
        }

        void waitFor(String event) throws Exception {
            long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(5);
            while (text.indexOf(event, Math.max(0, text.length() - 2 * event.length())) < 0) {
                if (System.nanoTime() > until || end.isCompletedExceptionally()) {
                    throw new AssertionError("no event after: " + text + end);
                }
                Thread.sleep(1);
            }
        }

        /**
         * Waits for the end, where Java's reader has compared checksum and length with the trailer. Returns everything but the
         * reconnection times, which differ from client to client.
         */
        String end() throws Exception {
            end.get(10, TimeUnit.SECONDS);
            return text.toString().replaceAll("(?m)^retry: \\d+\n", "");
        }

        long received() {
            return counted.bytes;
        }
    }

    /** Counts the bytes before they are decoded. */
    static class Counted extends java.io.FilterInputStream {
        volatile long bytes;

        Counted(InputStream in) {
            super(in);
        }

        @Override
        public int read(byte[] into, int offset, int length) throws java.io.IOException {
            int count = super.read(into, offset, length);
            bytes += Math.max(0, count);
            return count;
        }
    }

    static HttpURLConnection open(int port, boolean isGzip) throws Exception {
        for (int attempt = 0;; attempt++) {
            var url = URI.create("http://127.0.0.1:" + port + "/a").toURL();
            var connection = (HttpURLConnection) url.openConnection();
            connection.setRequestProperty("accept", "text/event-stream");
            connection.setRequestProperty("accept-encoding", isGzip ? "gzip" : "identity");
            try {
                if (connection.getResponseCode() != 200) {
                    throw new AssertionError("status " + connection.getResponseCode());
                }
                return connection;
            } catch (java.net.ConnectException notYet) {
                if (attempt == 100) {
                    throw notYet;
                }
                Thread.sleep(50);
            }
        }
    }

    static int freePort() throws Exception {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    static Thread daemon(Runnable task) {
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        return thread;
    }
}
