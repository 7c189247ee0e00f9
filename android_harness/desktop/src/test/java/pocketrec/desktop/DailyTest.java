// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.sun.net.httpserver.HttpServer;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import pocketrec.core.Bundle;
import pocketrec.core.Event;
import pocketrec.core.ModelRuntime;
import pocketrec.core.Recommendation;
import pocketrec.core.Recommender;
import pocketrec.pull.Pull;
import pocketrec.pull.PullOptions;
import pocketrec.pull.Versions;
import pocketrec.store.Database;
import pocketrec.store.EventStore;

import java.io.File;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** The second example of docs/android.md: published by Python, pulled and recommended by Java. */
class DailyTest {
    // example begins
    static List<String> daily(
            File files, ModelRuntime runtime, Database.Opener databases, String url)
            throws Exception {
        File versions = new File(files, "bundle");
        PullOptions options = PullOptions.DEFAULT.withUsers(Collections.singletonList("u1"));
        Pull.pull(url, versions, options.withKey("none")); // better: the publisher's key
        Bundle bundle = Bundle.open(Versions.resolve(versions)); // every file is verified
        List<String> best = new ArrayList<>();
        try (EventStore store = EventStore.open(new File(files, "u1.events"), databases);
                Recommender recommender =
                        new Recommender(
                                bundle, runtime, "u1", new File(files, "u1.state"), store, 1)) {
            recommender.add(Collections.singletonList(new Event("item 3"))); // on the disk now
            recommender.personalise(Collections.emptyList());
            recommender.save();
            for (Recommendation one : recommender.recommend(5)) {
                best.add(one.item);
            }
        }
        return best;
    }

    // example ends

    @TempDir Path folder;

    @Test
    void itRuns() throws Exception {
        Path www = folder.resolve("www");
        File bundle = new File(Reference.folder(), "plain");
        Reference.pocketrec("publish", bundle.toString(), "--to", www.toString());
        HttpServer server =
                HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext(
                "/",
                exchange -> {
                    Path file = www.resolve(exchange.getRequestURI().getPath().substring(1));
                    byte[] content = Files.exists(file) ? Files.readAllBytes(file) : new byte[0];
                    exchange.sendResponseHeaders(
                            Files.exists(file) ? 200 : 404,
                            content.length == 0 ? -1 : content.length);
                    exchange.getResponseBody().write(content);
                    exchange.close();
                });
        server.start();
        try {
            String url = "http://127.0.0.1:" + server.getAddress().getPort();
            for (int day = 0; day < 2; day++) {
                List<String> best =
                        daily(folder.toFile(), Reference.runtime(), new JdbcDatabases(), url);
                assertEquals(5, best.size());
            }
            try (EventStore store =
                    EventStore.openExisting(
                            folder.resolve("u1.events").toFile(), new JdbcDatabases())) {
                assertEquals(2, store.size());
            }
        } finally {
            server.stop(0);
        }
    }
}
