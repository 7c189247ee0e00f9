// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.FetchException;
import pocketrec.core.PocketRecException;
import pocketrec.core.Storage;
import pocketrec.core.StorageException;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Fetches files from servers: resumed, retried, and bounded in size and time. The rules of
 * device/delivery/fetch.py. A request carries the address, the validators of what is here already,
 * and pocketrec's name: nothing about a user.
 */
final class Fetcher {
    private static final int CHUNK = 1 << 16;
    private static final long PROGRESS = 1 << 16; // bytes that make up for a failure
    private static final Pattern RANGE =
            Pattern.compile("bytes (\\d{1,18})-(\\d{1,18})/(\\d{1,18})");

    private static final String INTERRUPTED = "the thread was interrupted: start the pull again";

    private final Patience patience;
    private final Source source;
    private final String login; // value of the header Authorization; "" = none is sent
    private final Random random = new Random();
    private long received;

    Fetcher(Patience patience, Source source, String login) {
        this.patience = patience;
        this.source = source;
        this.login = login;
    }

    /** Bytes of bodies received so far. */
    long received() {
        return received;
    }

    /** A small file. */
    static final class Small {
        /** Null where it still has the ETag that was given. */
        final byte[] content;

        final String etag;

        Small(byte[] content, String etag) {
            this.content = content;
            this.etag = etag;
        }
    }

    private interface Attempt<T> {
        T run() throws Again, IOException, PocketRecException;
    }

    private interface Progress {
        long bytes();
    }

    /**
     * The content of a small file and its ETag.
     *
     * @throws FetchException it cannot be fetched, or is larger than {@code limit} bytes
     */
    Small small(String url, int limit, String etag) throws PocketRecException {
        return retried(
                url,
                () -> {
                    Map<String, String> headers = new HashMap<>();
                    headers.put("Cache-Control", "no-cache");
                    if (!etag.isEmpty()) {
                        headers.put("If-None-Match", etag);
                    }
                    try (Source.Answer answer = answer(url, headers)) {
                        if (answer.status() == 304) {
                            return new Small(null, etag);
                        }
                        ByteArrayOutputStream content = new ByteArrayOutputStream();
                        pieces(answer, limit + 1L, content::write);
                        if (content.size() > limit) {
                            throw new FetchException(
                                    url
                                            + " is larger than "
                                            + limit
                                            + " bytes: name the right address");
                        }
                        String length = answer.header("Content-Length");
                        if (length != null && !length.equals(String.valueOf(content.size()))) {
                            throw new Again("the answer was cut short");
                        }
                        String told = answer.header("ETag");
                        return new Small(content.toByteArray(), told == null ? "" : told);
                    }
                },
                () -> 0);
    }

    /**
     * Fetches a file whose size and hash are known; what an interrupted attempt left in {@code
     * target} is gone on from. It is complete and right, and flushed to the disk, when this
     * returns.
     *
     * @throws FetchException it cannot be fetched, or the server has another file in its place
     * @throws StorageException it cannot be written; what was received stays
     */
    void file(String url, File target, long size, String sha256) throws PocketRecException {
        File mark = new File(target + ".etag");
        int[] wrong = {0};
        retried(
                url,
                () -> {
                    rest(url, target, mark, size, wrong[0] > 0);
                    try {
                        boolean right = Storage.sha256(target).equals(sha256);
                        Files.deleteIfExists(mark.toPath());
                        if (right) {
                            return null;
                        }
                        Files.deleteIfExists(target.toPath());
                    } catch (IOException error) {
                        throw Storage.failed(target, error);
                    }
                    if (++wrong[0] >= 2) {
                        throw new FetchException(
                                url
                                        + " is not the file that its manifest names (another"
                                        + " SHA-256): try again later, or ask the publisher");
                    }
                    throw new Again("another SHA-256 than the manifest's");
                },
                target::length);
    }

    /** Appends to {@code target} what is missing of {@code size} bytes. */
    private void rest(String url, File target, File mark, long size, boolean fresh)
            throws Again, IOException, PocketRecException {
        if (target.length() > size) {
            delete(target);
        }
        long have = target.length();
        if (have == size && target.exists()) {
            return;
        }
        Map<String, String> headers = new HashMap<>();
        if (fresh) {
            headers.put("Cache-Control", "no-cache");
        }
        if (have > 0) {
            headers.put("Range", "bytes=" + have + "-");
            String etag = noted(mark);
            if (etag.matches("[ -~]+")) { // else it was damaged
                headers.put("If-Range", etag);
            }
        }
        try (Source.Answer answer = answer(url, headers)) {
            if (answer.status() == 416) {
                delete(target);
                throw new Again("the server has less than is here already");
            }
            if (answer.status() == 206) {
                if (have == 0 || !isRest(answer.header("Content-Range"), have, size)) {
                    delete(target);
                    throw new Again("the server sent another part than was asked for");
                }
            } else {
                have = 0;
            }
            long expected = size - have;
            String length = answer.header("Content-Length");
            if (length != null
                    && (!length.matches("[0-9]{1,18}") || Long.parseLong(length) > expected)) {
                throw new Again("the server announces " + length + " bytes and not " + expected);
            }
            if (have == 0) {
                note(mark, answer.header("ETag"));
            }
            long end = length == null ? size : have + Long.parseLong(length);
            have = write(answer, target, have, size, end);
        }
        if (have < size) {
            throw new Again("the answer was cut short, after " + have + " of " + size + " bytes");
        }
    }

    /**
     * Appends the body from {@code have} on; gives the bytes that are there then.
     *
     * @param size bytes of the whole file
     * @param end bytes that will be there where the answer is as long as it says
     */
    private long write(Source.Answer answer, File target, long have, long size, long end)
            throws Again, IOException, PocketRecException {
        long[] there = {have};
        try (RandomAccessFile file = opened(target)) {
            try {
                file.setLength(have);
                file.seek(have);
            } catch (IOException error) {
                throw Storage.failed(target, error);
            }
            boolean[] tooMuch = {false};
            try {
                pieces(
                        answer,
                        end < size ? end - have : size - have + 1,
                        (bytes, offset, length) -> {
                            there[0] += length;
                            tooMuch[0] |= there[0] > size;
                            try {
                                if (!tooMuch[0]) {
                                    file.write(bytes, offset, length);
                                }
                            } catch (IOException error) {
                                throw Storage.failed(target, error);
                            }
                        });
            } finally {
                try {
                    if (tooMuch[0]) {
                        file.setLength(0);
                    }
                    file.getFD().sync();
                } catch (IOException error) {
                    throw Storage.failed(target, error);
                }
            }
            if (tooMuch[0]) {
                throw new Again("the server sent more than the manifest says");
            }
        }
        return there[0];
    }

    private static RandomAccessFile opened(File target) throws StorageException {
        try {
            return new RandomAccessFile(target, "rw");
        } catch (IOException error) {
            throw Storage.failed(target, error);
        }
    }

    private static boolean isRest(String range, long have, long size) {
        Matcher span = RANGE.matcher(range == null ? "" : range);
        return span.matches()
                && Long.parseLong(span.group(1)) == have
                && Long.parseLong(span.group(2)) == size - 1
                && Long.parseLong(span.group(3)) == size;
    }

    private static String noted(File mark) {
        try {
            return new String(Storage.read(mark), StandardCharsets.ISO_8859_1);
        } catch (IOException error) {
            return "";
        }
    }

    private static void note(File mark, String etag) throws StorageException {
        boolean strong = etag != null && etag.matches("[ -~]+") && !etag.startsWith("W/");
        try {
            if (strong) {
                Files.write(mark.toPath(), etag.getBytes(StandardCharsets.US_ASCII));
            } else {
                Files.deleteIfExists(mark.toPath());
            }
        } catch (IOException error) {
            throw Storage.failed(mark, error);
        }
    }

    private static void delete(File file) throws StorageException {
        try {
            Files.deleteIfExists(file.toPath());
        } catch (IOException error) {
            throw Storage.failed(file, error);
        }
    }

    /** The answer to a GET: status 200, 206, 304 or 416; everything else is an error. */
    private Source.Answer answer(String url, Map<String, String> headers)
            throws Again, IOException, PocketRecException {
        if (!login.isEmpty()) {
            headers.put("Authorization", login);
        }
        Source.Answer answer = source.get(url, headers, patience.timeout);
        boolean good = false;
        try {
            int status = answer.status();
            if (status != 200 && status != 206 && status != 304 && status != 416) {
                Again.refuse(url, answer);
            }
            String encoding = answer.header("Content-Encoding");
            if (encoding != null && !encoding.equalsIgnoreCase("identity")) {
                throw new FetchException(
                        url
                                + " comes compressed ('"
                                + encoding
                                + "'), unrequested: ask the publisher to send files as they are");
            }
            good = true;
            return answer;
        } finally {
            if (!good) {
                answer.close();
            }
        }
    }

    /** Takes a piece of a body. */
    private interface Piece {
        void take(byte[] bytes, int offset, int length) throws PocketRecException;
    }

    /** The body of an answer, up to {@code limit} bytes, as it comes. */
    private void pieces(Source.Answer answer, long limit, Piece piece)
            throws Again, IOException, PocketRecException {
        long started = System.nanoTime();
        long got = 0;
        byte[] chunk = new byte[CHUNK];
        while (got < limit) {
            int length = answer.read(chunk, (int) Math.min(CHUNK, limit - got));
            if (length <= 0) {
                return;
            }
            got += length;
            received += length;
            piece.take(chunk, 0, length);
            if (Thread.currentThread().isInterrupted()) {
                throw new FetchException(INTERRUPTED);
            }
            double elapsed = (System.nanoTime() - started) / 1e9;
            if (elapsed > patience.timeout && got < patience.slowest * elapsed) {
                throw new Again(
                        "the server is too slow, " + got + " bytes in " + (int) elapsed + " s");
            }
        }
    }

    private <T> T retried(String url, Attempt<T> attempt, Progress progress)
            throws PocketRecException {
        int failures = 0;
        long best = progress.bytes();
        while (true) {
            String reason;
            double wait = 0;
            try {
                return attempt.run();
            } catch (Again error) {
                reason = error.getMessage();
                wait = error.wait;
            } catch (IOException error) {
                reason = Address.shown(Storage.reason(error));
            }
            failures++;
            long now = progress.bytes();
            if (now - best >= PROGRESS) {
                failures = 1;
                best = now;
            }
            if (failures >= patience.attempts) {
                throw new FetchException(
                        url
                                + " cannot be fetched ("
                                + reason
                                + ", "
                                + failures
                                + " times): ask for the right address and connection; what was"
                                + " received is kept, and the next pull continues there");
            }
            double pause = patience.pause * Math.pow(2, failures - 1);
            pause *= 0.5 + random.nextDouble();
            sleep(Math.min(30, Math.max(pause, wait)));
        }
    }

    private static void sleep(double seconds) throws FetchException {
        try {
            Thread.sleep((long) (seconds * 1000));
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new FetchException(INTERRUPTED, error);
        }
    }
}
