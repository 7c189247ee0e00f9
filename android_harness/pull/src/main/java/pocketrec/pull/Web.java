// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.FetchException;

import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.MalformedURLException;
import java.net.URL;
import java.security.cert.CertificateException;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * HTTP(S) by the platform's own {@link HttpURLConnection}, which needs the permission INTERNET on
 * Android. At most ten redirects are followed, to HTTP(S) alone and never from HTTPS to HTTP; a
 * password stays with its host.
 */
public final class Web implements Source {
    private static final int REDIRECTS = 10;
    private static final double LONGEST = 86_400; // seconds
    private static final String LOGIN = "Authorization";
    private static final ScheduledExecutorService TIMER =
            Executors.newSingleThreadScheduledExecutor(
                    work -> {
                        Thread thread = new Thread(work, "pocketrec-web");
                        thread.setDaemon(true);
                        return thread;
                    });

    @Override
    public Answer get(String url, Map<String, String> headers, double timeout)
            throws IOException, FetchException {
        Map<String, String> sent = new HashMap<>(headers);
        String place = url;
        for (int hop = 0; ; hop++) {
            Opened answer = open(place, sent, Math.min(timeout, LONGEST));
            String location = answer.header("Location");
            boolean redirected = answer.status() >= 301 && answer.status() <= 308;
            redirected &= answer.status() <= 303 || answer.status() >= 307;
            if (!redirected || location == null || hop == REDIRECTS) {
                return answer;
            }
            answer.close();
            String next = resolved(place, location);
            Address from = Address.of(place);
            Address to = next == null ? null : Address.of(next);
            if (to == null || from.scheme.equals("https") && !to.scheme.equals("https")) {
                throw new FetchException(
                        place
                                + " leads to "
                                + Address.shown(location)
                                + ", which is not followed: name the right address");
            }
            if (!from.sameOrigin(to)) {
                sent.remove(LOGIN);
            }
            place = to.plain();
        }
    }

    private static String resolved(String place, String location) {
        try {
            return new URL(new URL(place), location).toString();
        } catch (MalformedURLException error) {
            return null;
        }
    }

    private static Opened open(String place, Map<String, String> headers, double timeout)
            throws IOException, FetchException {
        Address address = Address.of(place);
        HttpURLConnection connection;
        try {
            if (address == null) {
                throw new MalformedURLException("it has no host");
            }
            connection = (HttpURLConnection) new URL(address.asked()).openConnection();
        } catch (MalformedURLException | IllegalArgumentException error) {
            throw new FetchException(
                    Address.shown(place)
                            + " is not an address, or leads to none ("
                            + error.getMessage()
                            + "): name the right one");
        }
        int milliseconds = (int) Math.max(1, timeout * 1000);
        connection.setConnectTimeout(milliseconds);
        connection.setReadTimeout(milliseconds);
        connection.setInstanceFollowRedirects(false);
        connection.setUseCaches(false);
        connection.setRequestProperty("User-Agent", "pocketrec"); // a version tells devices apart
        connection.setRequestProperty("Accept", "*/*");
        connection.setRequestProperty("Accept-Encoding", "identity");
        connection.setRequestProperty("Connection", "close");
        for (Map.Entry<String, String> header : headers.entrySet()) {
            connection.setRequestProperty(header.getKey(), header.getValue());
        }
        ScheduledFuture<?> cut =
                TIMER.schedule(connection::disconnect, milliseconds, TimeUnit.MILLISECONDS);
        try {
            int status = connection.getResponseCode();
            if (status < 0) {
                throw new IOException("that is no HTTP");
            }
            return new Opened(connection, status);
        } catch (IOException | RuntimeException error) {
            connection.disconnect();
            throw failure(place, error);
        } finally {
            cut.cancel(false);
        }
    }

    /** What a failure means; a certificate that is not trusted is not tried again. */
    private static IOException failure(String place, Exception error) throws FetchException {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (cause instanceof CertificateException) {
                throw new FetchException(
                        "the certificate of "
                                + place
                                + " is not trusted ("
                                + String.valueOf(cause.getMessage()).replaceAll("\\s+", " ")
                                + "): ask for the right address, or set the clock");
            }
        }
        return error instanceof IOException
                ? (IOException) error
                : new IOException(String.valueOf(error.getMessage()), error);
    }

    private static final class Opened implements Answer {
        private final HttpURLConnection connection;
        private final int status;
        private final InputStream body;

        Opened(HttpURLConnection connection, int status) throws IOException {
            this.connection = connection;
            this.status = status;
            body = status >= 400 ? connection.getErrorStream() : connection.getInputStream();
        }

        @Override
        public int status() {
            return status;
        }

        @Override
        public String header(String name) {
            return connection.getHeaderField(name);
        }

        @Override
        public int read(byte[] buffer, int most) throws IOException {
            return body == null ? -1 : body.read(buffer, 0, most);
        }

        @Override
        public void close() {
            connection.disconnect();
        }
    }
}
