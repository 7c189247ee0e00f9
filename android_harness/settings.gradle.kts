// Open this folder in Android Studio, or: gradle :app:assembleRelease
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositoriesMode = RepositoriesMode.FAIL_ON_PROJECT_REPOS
    repositories {
        google()
        mavenCentral()
    }
}

rootProject.name = "pocketrec-android"

include(":core", ":store", ":pull", ":runtime", ":jobs", ":kotlin", ":app")
