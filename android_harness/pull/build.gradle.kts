plugins {
    `java-library`
}

java {
    sourceCompatibility = JavaVersion.VERSION_1_8
    targetCompatibility = JavaVersion.VERSION_1_8
}

tasks.withType<JavaCompile>().configureEach {
    options.encoding = "UTF-8"
    options.release = 8
}

tasks.test {
    useJUnitPlatform()
}

dependencies {
    api(project(":core"))
    testImplementation(libs.junit.jupiter)
}
