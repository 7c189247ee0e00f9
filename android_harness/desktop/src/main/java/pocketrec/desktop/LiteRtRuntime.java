// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import pocketrec.core.Interpreter;
import pocketrec.core.ModelRuntime;
import pocketrec.core.PocketRecException;
import pocketrec.core.RuntimeMissingException;

import java.io.File;

/** The LiteRT that the Python package ai-edge-litert ships, on a JVM. */
public final class LiteRtRuntime implements ModelRuntime {
    /** Environment variable that says where LiteRT is, where the caller does not. */
    public static final String VARIABLE = "POCKETREC_LITERT";

    private static final String PACKAGE = "ai_edge_litert";
    private static final String LIBRARY = "libLiteRt.so";
    private static final String INSTALL =
            "set "
                    + VARIABLE
                    + " to "
                    + LIBRARY
                    + ", or to a Python environment in which ai-edge-litert is installed";
    private static File bound;

    private final String version;

    private LiteRtRuntime(String version) {
        this.version = version;
    }

    /**
     * Finds and loads LiteRT. One process can load one of it.
     *
     * @param place the library, or the folder of a Python environment that has ai-edge-litert; null
     *     = as the environment variable POCKETREC_LITERT says
     * @throws RuntimeMissingException it is not there, or cannot be loaded
     */
    public static synchronized LiteRtRuntime find(File place) throws RuntimeMissingException {
        String named = System.getenv(VARIABLE);
        if (place == null && (named == null || named.isEmpty())) {
            throw new RuntimeMissingException("no LiteRT was named: " + INSTALL);
        }
        File start = place == null ? new File(named) : place;
        File library = start.isDirectory() ? inEnvironment(start) : start;
        if (library == null || !library.isFile()) {
            throw new RuntimeMissingException("no " + LIBRARY + " at " + start + ": " + INSTALL);
        }
        if (bound == null) {
            try {
                LiteRt.bind(library);
            } catch (UnsatisfiedLinkError error) {
                String reason = String.valueOf(error.getMessage()).replaceAll("\\s+", " ");
                throw new RuntimeMissingException(
                        library + " cannot be used (" + reason + "): install ai-edge-litert 2.3",
                        error);
            }
            bound = library;
        } else if (!bound.equals(library)) {
            throw new RuntimeMissingException(
                    "this process has loaded "
                            + bound
                            + " already: use that one, or another process");
        }
        return new LiteRtRuntime(versionOf(library));
    }

    @Override
    public String name() {
        return PACKAGE;
    }

    @Override
    public String version() {
        return version;
    }

    @Override
    public Interpreter open(File model, int threads) throws PocketRecException {
        return new LiteRtInterpreter(model, threads);
    }

    /**
     * ENVIRONMENT/lib/python3.x/site-packages/ai_edge_litert/libLiteRt.so; null where there is
     * none.
     */
    private static File inEnvironment(File environment) {
        File[] pythons =
                new File(environment, "lib")
                        .listFiles((folder, name) -> name.startsWith("python3"));
        for (File python : pythons == null ? new File[0] : pythons) {
            File library = new File(python, "site-packages/" + PACKAGE + "/" + LIBRARY);
            if (library.isFile()) {
                return library;
            }
        }
        return null;
    }

    /** From the name of the package's metadata folder, such as ai_edge_litert-2.3.0.dist-info. */
    private static String versionOf(File library) {
        File packages = library.getAbsoluteFile().getParentFile().getParentFile();
        String[] names =
                packages == null
                        ? null
                        : packages.list(
                                (folder, name) ->
                                        name.startsWith(PACKAGE + "-")
                                                && name.endsWith(".dist-info"));
        return names == null || names.length == 0
                ? "unknown"
                : names[0].substring(
                        PACKAGE.length() + 1, names[0].length() - ".dist-info".length());
    }
}
